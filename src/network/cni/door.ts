import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { Kernel } from '../../kernel/kernel.ts'

/** One run of one plugin. */
export interface CniCall {
  readonly plugin: string
  readonly command: string
  /** Folders before the usual ones. */
  readonly path: readonly string[]
  readonly input: string
  /** Given all folders in which programs are looked for. */
  readonly environment: (path: readonly string[]) => Readonly<Record<string, string>>
}

export interface CniAnswer {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** How plugins are run. Rejects with `tool_missing`, `timeout` or `network` when it cannot be said what came of it. */
export type CniDoor = (call: CniCall) => Promise<CniAnswer>

/** Where distributions, and CNI's own archives, put them. */
const USUAL_FOLDERS = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni']
/** A lease by DHCP may take its time; whoever takes longer hangs. */
const LIMIT_SECONDS = 60
const MOST_OUTPUT_BYTES = 256 * 1024
/** Exit statuses of timeout(1) that has ended its command; 128 is what the kernel's door makes of a signal. */
const TIMED_OUT = [124, 128, 137]
/** What plugins run in their turn: iptables, nft, tc, ipset. */
const PROGRAMS = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Plugins as programs of this host. They are not interrupted: what half of one has done nobody could undo.
 * `limitSeconds` ends one that hangs, with all that it has started (its own process group, timeout(1)).
 */
export function hostDoor(kernel: Kernel, limitSeconds = LIMIT_SECONDS): CniDoor {
  return async ({ plugin, command, path, input, environment }) => {
    const folders = [...path, ...USUAL_FOLDERS]
    const program = await findPlugin(kernel, plugin, folders)
    const began = performance.now()
    const answer = await kernel.run('timeout', ['-s', 'KILL', `${limitSeconds}`, program], {
      input,
      mostOutputBytes: MOST_OUTPUT_BYTES,
      timeoutMs: (limitSeconds + 5) * 1000,
      env: { PATH: PROGRAMS, LANG: 'C', LC_ALL: 'C', ...environment(folders) },
    })
    const what = `cni plugin \`${plugin}\`, ${command}`
    const late = performance.now() - began >= limitSeconds * 1000
    if (late && TIMED_OUT.includes(answer.exitCode))
      throw new PakError('timeout', `${what}: no end after ${limitSeconds} s`)
    if (Buffer.byteLength(answer.stdout) >= MOST_OUTPUT_BYTES)
      throw new PakError('network', `${what}: it says more than ${MOST_OUTPUT_BYTES / 1024} KiB`)
    return answer
  }
}

/** Throws `tool_missing`. */
export async function findPlugin(
  kernel: Kernel,
  plugin: string,
  folders: readonly string[],
): Promise<string> {
  for (const folder of folders) {
    const file = join(folder, plugin)
    const facts = await kernel.stat(file)
    if (facts?.kind === 'file' && (facts.mode & 0o111) !== 0) return file
  }
  throw new PakError('tool_missing', `cni plugin \`${plugin}\`: not in ${folders.join(', ')}`, {
    hint: 'install the package containernetworking-plugins, or say in CNI_PATH where it is',
  })
}
