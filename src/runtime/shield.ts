import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { hasOwnMounts, mountTable } from '../kernel/mount.ts'

/**
 * So that no container writes to the program through `/proc/<pid>/exe` (CVE-2019-5736), crun and runc begin
 * every call by copying themselves and starting anew. A program on a read-only mount is as safe: in the
 * agent's own mount namespace it is mounted so, over itself. Returns the environment that makes them look
 * for it (`is_self_cloned()` in cloned_binary.c of both); where they do not find it they copy themselves as ever.
 */
export async function shieldRuntime(
  kernel: Kernel,
  program: string,
): Promise<Readonly<Record<string, string>>> {
  if (!(await hasOwnMounts(kernel))) return {}
  const path = await kernel.realPath(program)
  if (!(await mountTable(kernel)).some(({ target }) => target === path)) {
    const { exitCode, stderr } = await kernel.run('mount', ['--bind', '-o', 'ro', path, path])
    if (exitCode !== 0) throw new PakError('host', `shield \`${path}\`: ${stderr.trim()}`)
  }
  return { _LIBCONTAINER_CLONED_BINARY: '1' }
}
