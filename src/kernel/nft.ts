import { PakError } from '../errors.ts'
import type { Kernel } from './kernel.ts'

/**
 * Hand one script to `nft -f` (nft(8)): all of it holds, or nothing does. The script must be built
 * from checked words. Throws `network`, naming the first line that was refused.
 */
export async function nftApply(
  kernel: Kernel,
  script: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  const result = await kernel.run('nft', ['-f', '-'], { input: script, ...options })
  if (result.exitCode === 0) return
  const { line, reason } = refusal(result.stderr)
  const text = line === null ? null : (script.split('\n')[line - 1]?.trim() ?? null)
  throw new PakError('network', `nft \`${text ?? 'transaction'}\`: ${reason}`)
}

/**
 * What `nft -j ...` prints, parsed but not judged; `null` when the object is not there. Throws `network`.
 */
export async function nftJson(kernel: Kernel, args: readonly string[]): Promise<unknown> {
  const result = await kernel.run('nft', ['-j', ...args])
  if (result.exitCode === 0) {
    try {
      return JSON.parse(result.stdout)
    } catch (cause) {
      throw new PakError('network', `nft \`${args.join(' ')}\`: answer is not JSON`, { cause })
    }
  }
  const { reason } = refusal(result.stderr)
  if (reason === 'no such file or directory') return null
  throw new PakError('network', `nft \`${args.join(' ')}\`: ${reason}`)
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
