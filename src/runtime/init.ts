import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'

/** Inits that need nothing of the rootfs they run in: statically linked. */
const CANDIDATES = [
  '/usr/bin/catatonit',
  '/usr/libexec/catatonit/catatonit',
  '/usr/libexec/podman/catatonit',
  '/usr/bin/tini-static',
  '/usr/bin/docker-init',
  '/usr/libexec/docker/docker-init',
]

/** Where the init is bound inside a container: `/dev` is always the container's own. */
export const INIT_PATH = '/dev/init'

/** The host's init for `init: true`; PakError `tool_missing` when there is none. */
export async function findInit(kernel: Kernel): Promise<string> {
  for (const path of CANDIDATES) if ((await kernel.stat(path))?.kind === 'file') return path
  throw new PakError('tool_missing', 'find an init for `init: true`: none installed', {
    hint: 'install the package catatonit (or tini), or run pak doctor --install',
  })
}
