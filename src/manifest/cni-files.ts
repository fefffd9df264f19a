import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CniNetwork } from '../model/cni.ts'
import { parseCniConfig } from './cni-config.ts'
import { compare, Refusal } from './context.ts'
import { shown } from './problem.ts'

/** Where administrators put configurations. */
export const CNI_FOLDER = '/etc/cni/net.d'
const MOST_BYTES = 1024 * 1024

/** The configuration that a file holds: a list of plugins, or one plugin's. Throws `Refusal`. */
export function readCniFile(path: string): Omit<CniNetwork, 'path'> {
  let plain: unknown
  try {
    plain = JSON.parse(readPlainFile(path))
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal(`${shown(path)} is not JSON`)
  }
  try {
    return parseCniConfig(plain)
  } catch (error) {
    if (error instanceof Refusal) throw new Refusal(`${shown(path)}: ${error.message}`, error.hint)
    throw error
  }
}

/**
 * The configuration of that name among the files of a folder: lists of plugins before single ones, each in
 * the order of their files, as libcni looks. Throws `Refusal`.
 */
export function findCniNetwork(folder: string, name: string): Omit<CniNetwork, 'path'> {
  const files = filesOf(folder)
  const unread: string[] = []
  const others: string[] = []
  for (const file of files) {
    try {
      const found = readCniFile(join(folder, file))
      if (found.name === name) return withoutFolder(folder, name, found)
      if (found.name !== null) others.push(found.name)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      unread.push(error.message)
    }
  }
  const hint = [...unread, ...(others.length === 0 ? [] : [`there are ${others.join(', ')}`])]
  throw new Refusal(
    `no file in ${folder} describes network ${shown(name)}`,
    hint.join('; ') || null,
  )
}

/** What is not read is not passed over in silence. */
function withoutFolder<T>(folder: string, name: string, found: T): T {
  if (listed(join(folder, name)).length === 0) return found
  throw new Refusal(
    `plugins in the folder ${join(folder, name)} are not read`,
    'write them into the `plugins` of the network',
  )
}

function filesOf(folder: string): readonly string[] {
  const names = [...listed(folder)].sort(compare)
  const having = (...endings: readonly string[]) =>
    names.filter((file) => endings.some((ending) => file.endsWith(ending)))
  return [...having('.conflist'), ...having('.conf', '.json')]
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** Never a pipe or a device, which could keep its reader waiting. */
function readPlainFile(path: string): string {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw new Refusal(
      code === 'ENOENT' ? `there is no file ${shown(path)}` : `read ${shown(path)}: ${code}`,
    )
  }
  try {
    const { size } = fstatSync(fd)
    if (!fstatSync(fd).isFile()) throw new Refusal(`${shown(path)} is no file`)
    if (size > MOST_BYTES) throw new Refusal(`${shown(path)} is larger than 1 MiB`)
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}
