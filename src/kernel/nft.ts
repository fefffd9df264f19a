import { PakError } from '../errors.ts'
import { netnsOf } from './ip.ts'
import type { Kernel } from './kernel.ts'

/**
 * Hand one script to `nft -f` (nft(8)): all of it holds, or nothing does. The script must be built
 * from checked words. Throws `network`, naming the first line that was refused.
 */
export async function nftApply(
  kernel: Kernel,
  script: string,
  {
    netnsPid,
    ...options
  }: {
    readonly signal?: AbortSignal
    /** Work inside the network namespace of this process; by default in the host's. */
    readonly netnsPid?: number
  } = {},
): Promise<void> {
  const run = { input: script, ...options, onStart: rememberOwn }
  const words = ['nft', '-f', '-']
  const [file = 'nft', ...args] =
    netnsPid === undefined ? words : ['nsenter', netnsOf(netnsPid), ...words]
  const result = await kernel.run(file, args, run)
  if (result.exitCode === 0) return
  const { line, reason } = refusal(result.stderr)
  const text = line === null ? null : (script.split('\n')[line - 1]?.trim() ?? null)
  throw new PakError('network', `nft \`${text ?? 'transaction'}\`: ${reason}`)
}

/** Processes that have lately done transactions for this one; the kernel names them with what they changed. */
const own: number[] = []
const MOST_OWN = 64

function rememberOwn(pid: number): void {
  own.push(pid)
  if (own.length > MOST_OWN) own.shift()
}

/** Whether a process that `nft monitor` names has changed the ruleset for this one. */
export const isOwnTransaction = (pid: number): boolean => own.includes(pid)

/**
 * Several `list` commands in one process: their objects one after the other, in libnftables-json(5);
 * `null` when one of them is about what is not there. Throws `network`.
 */
export async function nftList(
  kernel: Kernel,
  commands: readonly string[],
  { terse = false }: { /** Without what is in sets. */ readonly terse?: boolean } = {},
): Promise<readonly unknown[] | null> {
  const text = commands.join('; ')
  const result = await kernel.run('nft', [...(terse ? ['-t'] : []), '-j', text])
  if (result.exitCode !== 0) {
    const { reason } = refusal(result.stderr)
    if (reason === 'no such file or directory') return null
    throw new PakError('network', `nft \`${text}\`: ${reason}`)
  }
  // A document a line, one for each command.
  return result.stdout
    .split('\n')
    .flatMap((line) => (line.trim() === '' ? [] : documentOf(text, line)))
}

function documentOf(command: string, line: string): readonly unknown[] {
  try {
    const { nftables } = JSON.parse(line) as { nftables?: unknown }
    return Array.isArray(nftables) ? nftables : []
  } catch (cause) {
    // nft 1.0.6 does not always find the word for the flag of a dormant table, and ends there.
    if (/^list table [^;]*$/.test(command) && /"flags": *$/.test(line))
      return [{ table: { flags: 'dormant' } }]
    throw new PakError('network', `nft \`${command}\`: answer is not JSON`, { cause })
  }
}

/** `/dev/stdin:3:1-20: Error: reason`; without a place when it came from the kernel as a whole. */
function refusal(stderr: string): { readonly line: number | null; readonly reason: string } {
  for (const text of stderr.split('\n')) {
    const found = /^(?:[^:]*:(\d+):[\d-]+: )?Error: (.*)$/.exec(text)
    if (found === null) continue
    const reason = (found[2] ?? '').trim().replace(/;.*$/, '').toLowerCase()
    return { line: found[1] === undefined ? null : Number(found[1]), reason }
  }
  return { line: null, reason: stderr.trim().split('\n')[0]?.toLowerCase() || 'refused' }
}
