import { posix } from 'node:path'
import { PakError } from '../errors.ts'
import { insideRoot } from '../kernel/inside-root.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { OciProcess } from './oci-types.ts'

const EXECUTABLE = 0o111

/**
 * Whether a running container has the command that is to be run in it. The runtime would find out too, but
 * what it has forked by then is orphaned in the container's pid namespace, which cannot end before pid 1 of
 * the host has reaped it. Only ever looks; a container that changes it meanwhile gets the runtime's
 * verdict. PakError `command_not_found`, `command_not_executable`.
 */
export async function checkCommand(
  kernel: Kernel,
  pid: number,
  { args, env, cwd }: OciProcess,
): Promise<void> {
  const [command = ''] = args
  const root = `/proc/${pid}/root`
  const path = env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const folders = command.includes('/') ? [''] : path.split(':')
  let refused = false
  for (const folder of folders) {
    const verdict = await look(kernel, root, posix.resolve(cwd, folder, command))
    if (verdict === 'yes' || verdict === 'unknown') return
    refused ||= verdict === 'no'
  }
  if (refused)
    throw new PakError('command_not_executable', `run \`${command}\`: not an executable file`)
  throw new PakError('command_not_found', `run \`${command}\`: not found in the container`)
}

async function look(
  kernel: Kernel,
  root: string,
  path: string,
): Promise<'yes' | 'no' | 'missing' | 'unknown'> {
  try {
    const real = await insideRoot(kernel, root, path)
    const facts = real === null ? null : await kernel.stat(real)
    if (facts === null) return 'missing'
    return facts.kind === 'file' && (facts.mode & EXECUTABLE) !== 0 ? 'yes' : 'no'
  } catch {
    // No power to look in there: the runtime will know.
    return 'unknown'
  }
}
