import { posix } from 'node:path'
import type { ImageConfig } from '../model/image.ts'
import { fieldOf, invalidImage, listOf, parseJson, recordOf, textOf } from './json.ts'
import { isDigest } from './reference.ts'

/** What pak needs of an image's configuration (image-spec, config.md). */
export interface ParsedConfig {
  readonly config: ImageConfig
  readonly architecture: string | null
  readonly os: string | null
  readonly createdAt: string | null
  /** Digests of the unpacked layers, the bottom first. */
  readonly diffIds: readonly string[]
  /** What was dropped, and why; for the reader. */
  readonly notes: readonly string[]
}

const TEXT_LIMIT = 128 * 1024
const LAYERS_LIMIT = 250
const USER = /^[^\s:\0]{1,128}(?::[^\s:\0]{1,128})?$/
const PORT = /^[0-9]{1,5}(?:-[0-9]{1,5})?(?:\/(?:tcp|udp|sctp))?$/
const SIGNAL = /^(?:SIG[A-Z0-9+-]{1,16}|[0-9]{1,2})$/
/** execve(2) and the runtime-spec know no NUL. */
const isText = (text: string) => text.length <= TEXT_LIMIT && !text.includes('\0')

export function parseConfig(bytes: Buffer): ParsedConfig {
  const document = parseJson(bytes, 'config')
  if (recordOf(document) === null) throw invalidImage('config', 'is not an object')
  const notes: string[] = []
  const created = textOf(fieldOf(document, 'created'))
  return {
    config: imageConfig(fieldOf(document, 'config'), notes),
    architecture: textOf(fieldOf(document, 'architecture')),
    os: textOf(fieldOf(document, 'os')),
    createdAt: created !== null && Number.isFinite(Date.parse(created)) ? created : null,
    diffIds: diffIds(document),
    notes,
  }
}

function diffIds(document: unknown): readonly string[] {
  const list = listOf(fieldOf(fieldOf(document, 'rootfs'), 'diff_ids'))
  if (list.length > LAYERS_LIMIT)
    throw invalidImage('config', `has more than ${LAYERS_LIMIT} layers`)
  return list.map((value) => {
    const digest = textOf(value)
    if (digest === null || !isDigest(digest))
      throw invalidImage('config', 'rootfs.diff_ids has something that is no sha256 digest')
    return digest
  })
}

function imageConfig(value: unknown, notes: string[]): ImageConfig {
  const keep = <T>(key: string, found: T | null, fallback: T): T => {
    const given = fieldOf(value, key)
    if (found === null && given !== undefined && given !== null && given !== '')
      notes.push(`config.${key} is not usable and was left out`)
    return found ?? fallback
  }
  const text = (key: string) => textOf(fieldOf(value, key))
  const workingDir = text('WorkingDir')
  const user = text('User')
  const stopSignal = text('StopSignal')
  // Left out, a user would mean root: what is no user at all makes the image unusable instead.
  if (user !== null && user !== '' && !USER.test(user))
    throw invalidImage('config', 'User is neither a name nor a number')
  return {
    entrypoint: keep('Entrypoint', words(fieldOf(value, 'Entrypoint')), []),
    command: keep('Cmd', words(fieldOf(value, 'Cmd')), []),
    environment: environment(listOf(fieldOf(value, 'Env')), notes),
    workingDir: keep('WorkingDir', workingDir !== null ? absolute(workingDir) : null, null),
    user: user === '' ? null : user,
    stopSignal: keep(
      'StopSignal',
      stopSignal !== null && SIGNAL.test(stopSignal) ? stopSignal : null,
      null,
    ),
    exposedPorts: keys(value, 'ExposedPorts', notes).filter((port) => PORT.test(port)),
    volumes: volumes(keys(value, 'Volumes', notes), notes),
    labels: labels(fieldOf(value, 'Labels')),
  }
}

/** A list of words; `null` when there is anything else in it. */
function words(value: unknown): readonly string[] | null {
  if (!Array.isArray(value)) return null
  const list = value.filter((one): one is string => typeof one === 'string' && isText(one))
  return list.length === value.length ? list : null
}

function environment(list: readonly unknown[], notes: string[]): Readonly<Record<string, string>> {
  const entries = list.flatMap((value): [string, string][] => {
    const text = textOf(value) ?? ''
    const equals = text.indexOf('=')
    if (equals > 0 && isText(text)) return [[text.slice(0, equals), text.slice(equals + 1)]]
    notes.push('config.Env has an entry that is not NAME=value; it was left out')
    return []
  })
  return Object.fromEntries(entries)
}

function absolute(path: string): string | null {
  if (path === '' || path.length > 4095 || !isText(path)) return null
  const normal = posix.normalize(posix.join('/', path))
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

function keys(value: unknown, key: string, notes: string[]): readonly string[] {
  const record = recordOf(fieldOf(value, key))
  const all = record === null ? [] : Object.keys(record)
  if (all.length > 1000)
    notes.push(`config.${key} has more than 1000 entries; the rest was left out`)
  return all.slice(0, 1000).sort()
}

function volumes(paths: readonly string[], notes: string[]): readonly string[] {
  const usable = paths.flatMap((path) => {
    const target = path.startsWith('/') ? absolute(path) : null
    if (target !== null && target !== '/' && !/^\/(?:proc|sys|dev)(?:\/|$)/.test(target))
      return target
    notes.push('config.Volumes has a path that no volume may cover; it was left out')
    return []
  })
  return [...new Set(usable)].sort()
}

function labels(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(recordOf(value) ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && isText(entry[1]),
  )
  return Object.fromEntries(entries)
}
