import { posix } from 'node:path'
import type { Mount } from '../model/desired.ts'
import { attempt, type Context, compare, Refusal, takeBoolean } from './context.ts'
import { cleanPath, NAME, parseMountTarget } from './names.ts'
import { shown } from './problem.ts'
import { parseMode, parseSize } from './quantities.ts'
import { child, type Field, itemsOf, spanOf, textOf } from './tree.ts'

/** `volumes` and `tmpfs` of a service, short and long form, sorted by target. */
export function normalizeMounts(context: Context, service: Field): readonly Mount[] {
  const mounts = new Map<string, Mount>()
  const add = (field: Field, make: () => Mount) => {
    const mount = attempt<Mount | null>(context, field, { make, fallback: null })
    if (mount === null) return
    if (mounts.has(mount.target)) {
      const message = `something else is mounted on \`${shown(mount.target)}\` already`
      context.problems.report({ span: spanOf(field), path: field.path, message })
    }
    mounts.set(mount.target, mount)
  }
  for (const item of itemsOf(child(service, 'volumes')))
    add(item, () =>
      item.node.kind === 'map' ? longMount(context, item) : shortMount(context, textOf(item) ?? ''),
    )
  const tmpfs = child(service, 'tmpfs')
  for (const item of tmpfs?.node.kind === 'scalar' ? [tmpfs] : itemsOf(tmpfs))
    add(item, () => parseTmpfs(textOf(item) ?? ''))
  return [...mounts.values()].sort((a, b) => compare(a.target, b.target))
}

/** Relative to the project's folder, `~` is HOME; absolute and clean. */
export function hostPath(context: Context, text: string): string {
  if (text === '') throw new Refusal('the path is empty')
  if (!/^~(\/|$)/.test(text)) {
    if (text.startsWith('~')) throw new Refusal('the home of another user is not supported yet')
    return cleanPath(posix.resolve(context.folder, text))
  }
  if (context.home === null) throw new Refusal('`~` has no meaning: HOME is not set')
  return cleanPath(posix.join(context.home, text.slice(1)))
}

type Bind = Extract<Mount, { kind: 'bind' }>
type Propagation = Bind['propagation']

const PROPAGATIONS: readonly Propagation[] = [
  'private',
  'rprivate',
  'shared',
  'rshared',
  'slave',
  'rslave',
]

/** `[SOURCE:]TARGET[:OPTIONS]`. */
function shortMount(context: Context, text: string): Mount {
  const parts = text.split(':')
  if (parts.length > 3) throw new Refusal(`expected \`SOURCE:TARGET:OPTIONS\`, got ${shown(text)}`)
  const [first = '', second, third] = parts
  if (second === undefined) return anonymous(parseMountTarget(first), NO_OPTIONS)
  const anonymousWithOptions =
    first.startsWith('/') && third === undefined && !second.startsWith('/')
  const options = parseOptions(anonymousWithOptions ? second : third)
  if (anonymousWithOptions) return anonymous(parseMountTarget(first), options)
  const target = parseMountTarget(second)
  if (/^[./~]/.test(first)) {
    if (options.noCopy) throw new Refusal('`nocopy` is for volumes, not for folders of the host')
    const propagation = options.propagation ?? 'rprivate'
    return {
      kind: 'bind',
      source: hostPath(context, first),
      target,
      readOnly: options.readOnly,
      createHostPath: false,
      propagation,
    }
  }
  return { ...anonymous(target, options), volume: volumeName(first) }
}

interface ShortOptions {
  readonly readOnly: boolean
  readonly noCopy: boolean
  readonly propagation: Propagation | null
}

const NO_OPTIONS: ShortOptions = { readOnly: false, noCopy: false, propagation: null }

function parseOptions(text: string | undefined): ShortOptions {
  if (text === undefined) return NO_OPTIONS
  let options = NO_OPTIONS
  for (const word of text.split(',')) {
    const propagation = PROPAGATIONS.find((known) => known === word)
    if (word === 'ro') options = { ...options, readOnly: true }
    else if (word === 'nocopy') options = { ...options, noCopy: true }
    else if (propagation !== undefined) options = { ...options, propagation }
    else if (word !== 'rw')
      throw new Refusal(
        /^(z|Z|cached|delegated|consistent)$/.test(word)
          ? `mount option \`${word}\` is not supported yet`
          : `unknown mount option \`${shown(word)}\``,
        'known are `ro`, `rw`, `nocopy` and the propagations such as `rslave`',
      )
  }
  return options
}

function anonymous(target: string, options: ShortOptions): Extract<Mount, { kind: 'volume' }> {
  if (options.propagation !== null)
    throw new Refusal('a propagation is for folders of the host, not for volumes')
  return {
    kind: 'volume',
    volume: null,
    target,
    readOnly: options.readOnly,
    noCopy: options.noCopy,
  }
}

function volumeName(text: string): string {
  if (NAME.test(text)) return text
  const hint = text.includes('/') ? `for a folder of the host say \`./${shown(text)}\`` : null
  throw new Refusal(`expected the name of a volume or a path, got ${shown(text)}`, hint)
}

function longMount(context: Context, item: Field): Mount {
  const type = textOf(child(item, 'type'))
  const source = textOf(child(item, 'source'))
  const target = parseMountTarget(textOf(child(item, 'target')) ?? '')
  const readOnly = takeBoolean(child(item, 'read_only'), false)
  for (const other of ['bind', 'volume', 'tmpfs'])
    if (other !== type && child(item, other) !== null)
      throw new Refusal(`\`${other}\` options do not go with \`type: ${type}\``)
  if (type === 'bind') return longBind(context, item, { source, target, readOnly })
  if (type === 'tmpfs') {
    if (source !== null) throw new Refusal('a tmpfs has no source')
    const options = child(item, 'tmpfs')
    const size = textOf(child(options, 'size'))
    const mode = textOf(child(options, 'mode'))
    return {
      kind: 'tmpfs',
      target,
      sizeBytes: size === null ? null : parseSize(size),
      mode: mode === null ? null : parseMode(mode),
      readOnly,
    }
  }
  const noCopy = takeBoolean(child(child(item, 'volume'), 'nocopy'), false)
  return {
    kind: 'volume',
    volume: source === null ? null : volumeName(source),
    target,
    readOnly,
    noCopy,
  }
}

function longBind(
  context: Context,
  item: Field,
  { source, target, readOnly }: { source: string | null; target: string; readOnly: boolean },
): Mount {
  if (source === null) throw new Refusal('a bind needs a `source`')
  const options = child(item, 'bind')
  const written = textOf(child(options, 'propagation')) ?? 'rprivate'
  return {
    kind: 'bind',
    source: hostPath(context, source),
    target,
    readOnly,
    createHostPath: takeBoolean(child(options, 'create_host_path'), false),
    propagation: PROPAGATIONS.find((known) => known === written) ?? 'rprivate',
  }
}

/** `TARGET[:size=64m,mode=1777,ro]`. */
function parseTmpfs(text: string): Mount {
  const at = text.indexOf(':')
  const target = parseMountTarget(at === -1 ? text : text.slice(0, at))
  let mount: Extract<Mount, { kind: 'tmpfs' }> = {
    kind: 'tmpfs',
    target,
    sizeBytes: null,
    mode: null,
    readOnly: false,
  }
  for (const word of at === -1 ? [] : text.slice(at + 1).split(',')) {
    const [name = '', value = ''] = word.split('=')
    if (name === 'size') mount = { ...mount, sizeBytes: parseSize(value) }
    else if (name === 'mode') mount = { ...mount, mode: parseMode(value) }
    else if (word === 'ro') mount = { ...mount, readOnly: true }
    else if (word !== 'rw')
      throw new Refusal(
        `tmpfs option \`${shown(word)}\` is not supported yet`,
        'known are `size`, `mode`, `ro` and `rw`',
      )
  }
  return mount
}
