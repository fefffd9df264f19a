import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { ContainerSpec } from '../model/desired.ts'
import { copyUp } from './copy-up.ts'
import { type MountsInput, planMounts, type ResolvedMount } from './mounts.ts'

export interface ResolveInput extends MountsInput {
  /** The mounted root of the container, in which nothing runs yet. */
  readonly rootfs: string
  readonly signal?: AbortSignal
}

/**
 * Everything that a container's mounts need, made; and what they are for the OCI runtime. Binds whose
 * source is missing throw, unless it may be made; empty volumes get the root's content at their target.
 */
export async function resolveMounts(
  kernel: Kernel,
  { rootfs, signal, ...input }: ResolveInput,
): Promise<readonly ResolvedMount[]> {
  await ensureBinds(kernel, input.spec.mounts)
  const plan = planMounts(input)
  for (const folder of plan.folders) await kernel.makeFolder(folder, 0o755)
  for (const one of plan.copyUps)
    await copyUp(kernel, { ...one, rootfs, ...(signal === undefined ? {} : { signal }) })
  return plan.mounts
}

/** Bind sources of a service that are not there and that nobody allowed pak to make. Changes nothing. */
export async function checkBinds(
  kernel: Kernel,
  service: string,
  mounts: ContainerSpec['mounts'],
): Promise<readonly PakError[]> {
  const errors: PakError[] = []
  for (const mount of mounts) {
    if (mount.kind !== 'bind' || mount.createHostPath) continue
    if ((await kernel.stat(mount.source)) === null)
      errors.push(missing(`service \`${service}\`: bind`, mount))
  }
  return errors
}

async function ensureBinds(kernel: Kernel, mounts: ContainerSpec['mounts']): Promise<void> {
  for (const mount of mounts) {
    if (mount.kind !== 'bind' || (await kernel.stat(mount.source)) !== null) continue
    if (!mount.createHostPath) throw missing('bind', mount)
    await kernel.makeFolder(mount.source, 0o755)
  }
}

const missing = (operation: string, { source, target }: { source: string; target: string }) =>
  new PakError('not_found', `${operation} \`${source}\` to \`${target}\`: no such file or folder`, {
    hint: 'make it, or set bind.create_host_path: true',
  })
