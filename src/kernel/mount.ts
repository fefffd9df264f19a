import { createHash } from 'node:crypto'
import { dirname } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from './kernel.ts'

/** One line of fstab(5). Every field may hold any character but NUL: they are escaped here. */
export interface MountRequest {
  readonly source: string
  readonly target: string
  readonly type: string
  /** For the kernel's data page too, at most 4095 bytes in all. Relative paths start in `folder`. */
  readonly options: string
}

export interface MountFacts {
  readonly target: string
  readonly type: string
  readonly source: string
}

export interface MountBatchOptions {
  /** Where mount(8) runs and where its fstab lies for the moment; it exists. */
  readonly folder: string
  readonly signal?: AbortSignal
}

/** What happened to one target. `lazy`: it was busy to the end, and was only detached (MNT_DETACH). */
export interface Unmounted {
  readonly error: PakError | null
  readonly lazy: boolean
}

const BATCH_TIMEOUT_MS = 60_000
const BUSY_ROUNDS = 5
const BUSY_PAUSE_MS = 40

/** All mounts of this process's mount namespace, oldest first (proc_pid_mountinfo(5)). */
export async function mountTable(kernel: Kernel): Promise<readonly MountFacts[]> {
  const text = (await kernel.readText('/proc/self/mountinfo')) ?? ''
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2)
    const target = before.split(' ')[4]
    const [type = '', source = ''] = after.split(' ')
    return target === undefined ? [] : [{ target: fromField(target), type, source }]
  })
}

/**
 * Mount everything in one process (`mount --all --fstab`, mount(8)). One outcome each, in order; a
 * target that has a mount of the same type already is success. The kernel's own table decides, not
 * the exit status.
 */
export async function mountAll(
  kernel: Kernel,
  requests: readonly MountRequest[],
  options: MountBatchOptions,
): Promise<readonly (PakError | null)[]> {
  const before = await missing(kernel, requests)
  if (before.size === 0) return requests.map(() => null)
  const wanted = requests.filter((request) => before.has(request))
  const complaints = await runMount(kernel, wanted, options)
  const after = await missing(kernel, wanted)
  return requests.map((request) => (after.has(request) ? refusal(request, complaints) : null))
}

/**
 * Unmount in one process, in the given order. A target that is no mount is success. A busy one is
 * tried again for a moment (a dying process lets go late), then detached, which its outcome says.
 */
export async function unmountAll(
  kernel: Kernel,
  targets: readonly string[],
  signal?: AbortSignal,
): Promise<readonly Unmounted[]> {
  const real = await Promise.all(targets.map((target) => kernel.realPath(target)))
  let left = await stillMounted(kernel, real)
  for (let round = 0; left.length > 0 && round < BUSY_ROUNDS; round += 1) {
    if (round > 0) await pause(BUSY_PAUSE_MS, signal)
    await runUmount(kernel, [], left, signal)
    left = await stillMounted(kernel, left)
  }
  if (left.length === 0) return targets.map(() => ({ error: null, lazy: false }))
  const complaint = await runUmount(kernel, ['--lazy'], left, signal)
  const stuck = new Set(await stillMounted(kernel, left))
  const lazy = new Set(left)
  return real.map((target) => ({
    error: stuck.has(target)
      ? new PakError('storage', `unmount \`${target}\`: ${complaint || 'it is still there'}`)
      : null,
    lazy: lazy.has(target) && !stuck.has(target),
  }))
}

/** A private tmpfs, for root only; one that is there already is success. */
export async function mountTmpfs(kernel: Kernel, target: string): Promise<void> {
  await kernel.makeFolder(target, 0o700)
  const options = 'mode=0700,nosuid,nodev'
  const request = { source: 'pak', target, type: 'tmpfs', options }
  const [outcome = null] = await mountAll(kernel, [request], { folder: dirname(target) })
  if (outcome !== null) throw outcome
}

/**
 * Whether this process has a mount namespace of its own, where it may mount what the host shall not see.
 * Mount ids are unique on a host: a namespace that shares one with pid 1's is pid 1's. Unlike the links in
 * `/proc/1/ns` the table can be read without power over pid 1. Not to know counts as shared.
 */
export async function hasOwnMounts(kernel: Kernel): Promise<boolean> {
  const idsOf = async (process: string): Promise<readonly string[]> =>
    ((await kernel.readText(`/proc/${process}/mountinfo`)) ?? '').match(/^\d+/gm) ?? []
  const first = new Set(await idsOf('1'))
  return first.size > 0 && (await idsOf('self')).every((id) => !first.has(id))
}

/** Those of the requests whose target has no mount of that type. */
export async function missing<T extends Pick<MountRequest, 'type' | 'target'>>(
  kernel: Kernel,
  requests: readonly T[],
): Promise<ReadonlySet<T>> {
  const table = new Set((await mountTable(kernel)).map(({ type, target }) => `${type} ${target}`))
  const absent = requests.filter(({ type, target }) => !table.has(`${type} ${target}`))
  if (absent.length === 0) return new Set()
  // The table shows real paths; a state root may be reached through a symlink (/var/run).
  const real = await Promise.all(absent.map(({ target }) => kernel.realPath(target)))
  return new Set(absent.filter(({ type }, index) => !table.has(`${type} ${real[index]}`)))
}

async function runMount(
  kernel: Kernel,
  requests: readonly MountRequest[],
  { folder, signal }: MountBatchOptions,
): Promise<string> {
  const text = requests.map(fstabLine).join('')
  const fstab = `${folder}/fstab-${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  await kernel.replaceFile(fstab, text)
  try {
    const result = await kernel.run('mount', ['--all', '--fstab', fstab], {
      cwd: folder,
      timeoutMs: BATCH_TIMEOUT_MS,
      ...(signal === undefined ? {} : { signal }),
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        LANG: 'C',
        LC_ALL: 'C',
        // fsconfig(2) takes at most 255 bytes a value, less than the lower folders of most images.
        LIBMOUNT_FORCE_MOUNT2: 'always',
      },
    })
    return result.stderr
  } finally {
    await kernel.removeTree(fstab)
  }
}

const fstabLine = ({ source, target, type, options }: MountRequest): string =>
  `${[source, target, type, options].map(toField).join(' ')} 0 0\n`

/** fstab(5): blanks, and what would end or comment a field, as three octal digits. */
const toField = (field: string): string =>
  field.replace(/[\s\\#]/g, (character) =>
    [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''),
  )

const fromField = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )

function refusal({ type, target }: MountRequest, complaints: string): PakError {
  const prefix = `mount: ${target}: `
  const own = complaints.split('\n').find((line) => line.startsWith(prefix))
  const reason = own?.slice(prefix.length).replace(/\.$/, '') ?? complaints.trim()
  return new PakError('storage', `mount ${type} on \`${target}\`: ${reason || 'it is not there'}`)
}

async function stillMounted(
  kernel: Kernel,
  targets: readonly string[],
): Promise<readonly string[]> {
  const table = new Set((await mountTable(kernel)).map(({ target }) => target))
  return targets.filter((target) => table.has(target))
}

async function runUmount(
  kernel: Kernel,
  flags: readonly string[],
  targets: readonly string[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const result = await kernel.run('umount', [...flags, '--no-canonicalize', '--', ...targets], {
    timeoutMs: BATCH_TIMEOUT_MS,
    ...(signal === undefined ? {} : { signal }),
  })
  return result.stderr.trim()
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = () => {
      clearTimeout(timer)
      reject(new PakError('cancelled', 'unmount: interrupted'))
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', cancel)
      resolve()
    }, ms)
    signal?.addEventListener('abort', cancel, { once: true })
  })
}
