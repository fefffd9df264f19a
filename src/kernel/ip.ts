import { PakError } from '../errors.ts'
import type { Kernel, RunResult } from './kernel.ts'
import { runParallel } from './parallel.ts'

export interface IpOptions {
  /** Work inside the network namespace of this process; by default in the host's. */
  readonly netnsPid?: number
  /** Or inside the one that this file is mounted with, see `pinNetns`. */
  readonly netnsFile?: string
  readonly signal?: AbortSignal
}

export interface IpBatchOptions extends IpOptions {
  /** Go on after a line about a link that is not there: for removals, where gone is success. */
  readonly goneIsFine?: boolean
}

/**
 * Run lines through one `ip -batch` (ip(8)): one process, one pass over the global rtnl lock. The
 * lines must be built from checked words. Throws `network`, naming the first line that was refused.
 */
export async function ipBatch(
  kernel: Kernel,
  lines: readonly string[],
  options: IpBatchOptions = {},
): Promise<void> {
  if (lines.length === 0) return
  const args = [...(options.goneIsFine ? ['-force'] : []), '-batch', '-']
  const result = await runIp(kernel, args, options, `${lines.join('\n')}\n`)
  if (result.exitCode === 0) return
  const refused = refusals(result.stderr).filter(
    ({ reason }) => !(options.goneIsFine && isGone(reason)),
  )
  const first = refused[0]
  if (first === undefined && options.goneIsFine) return
  if (first === undefined) throw ipError('batch', result)
  throw new PakError('network', `ip \`${lines[first.line - 1] ?? '?'}\`: ${first.reason}`)
}

/** Lines for the network namespace of each process, in files, from one spawn. False when any was refused. */
export async function ipBatchEach(
  kernel: Kernel,
  batches: readonly { readonly netnsPid: number; readonly file: string }[],
): Promise<boolean> {
  const argumentLists = batches.map(({ netnsPid, file }) => [
    netnsOf(netnsPid),
    'ip',
    '-batch',
    file,
  ])
  const { exitCode } = await runParallel(kernel, { file: 'nsenter', argumentLists, parallel: 4 })
  return exitCode === 0
}

/** What `ip -j ...` prints, parsed but not judged. Throws `network`. */
export async function ipJson(
  kernel: Kernel,
  args: readonly string[],
  options: IpOptions = {},
): Promise<unknown> {
  const result = await runIp(kernel, ['-j', ...args], options)
  if (result.exitCode !== 0) throw ipError(args.join(' '), result)
  // Some objects print nothing at all instead of an empty list.
  if (result.stdout.trim() === '') return []
  try {
    return JSON.parse(result.stdout)
  } catch (cause) {
    throw new PakError('network', `ip \`${args.join(' ')}\`: answer is not JSON`, { cause })
  }
}

function runIp(
  kernel: Kernel,
  args: readonly string[],
  { netnsPid, netnsFile, signal }: IpOptions,
  input?: string,
): Promise<RunResult> {
  const run = {
    ...(input === undefined ? {} : { input }),
    ...(signal === undefined ? {} : { signal }),
  }
  if (netnsFile !== undefined)
    return kernel.run('nsenter', [`--net=${netnsFile}`, 'ip', ...args], run)
  if (netnsPid === undefined) return kernel.run('ip', args, run)
  return kernel.run('nsenter', [netnsOf(netnsPid), 'ip', ...args], run)
}

export function netnsOf(pid: number): string {
  if (!Number.isSafeInteger(pid) || pid < 2) throw new Error(`netns of pid ${pid}: nobody's`)
  return `--net=/proc/${pid}/ns/net`
}

interface Refusal {
  readonly line: number
  readonly reason: string
}

/** `ip -batch` writes the reason first and `Command failed -:<line>` after it. */
function refusals(stderr: string): readonly Refusal[] {
  const found: Refusal[] = []
  let reason: string[] = []
  for (const line of stderr.split('\n')) {
    const end = /^Command failed .*:(\d+)$/.exec(line)
    if (end === null) {
      if (line.trim() !== '') reason.push(line.trim())
      continue
    }
    found.push({ line: Number(end[1]), reason: plainReason(reason.join(' ')) })
    reason = []
  }
  return found
}

const plainReason = (text: string): string =>
  text.replace(/^(RTNETLINK answers|Error): /, '').toLowerCase() || 'refused without a reason'

const isGone = (reason: string): boolean =>
  /cannot find device|no such device|no such process|cannot assign requested/.test(reason)

function ipError(what: string, { stderr, exitCode }: RunResult): PakError {
  const reason = plainReason(stderr.trim().split('\n')[0] ?? '')
  return new PakError('network', `ip \`${what}\`: ${reason} (exit status ${exitCode})`)
}
