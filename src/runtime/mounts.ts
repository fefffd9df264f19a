import type { ContainerSpec } from '../model/desired.ts'
import type { OciMount } from './oci-types.ts'

/**
 * The file systems that every container has, in the order in which they are mounted: `/proc`, a `/dev` of
 * its own, `/sys` and the cgroup tree read-only. `privileged` makes the last two writable.
 */
export function systemMounts(spec: ContainerSpec, shmSource: string | null): readonly OciMount[] {
  const access = spec.privileged ? 'rw' : 'ro'
  return [
    mount('proc', '/proc', ['nosuid', 'noexec', 'nodev']),
    mount('tmpfs', '/dev', ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=65536k']),
    mount('devpts', '/dev/pts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      'gid=5',
    ]),
    mount('mqueue', '/dev/mqueue', ['nosuid', 'noexec', 'nodev']),
    shm(spec, shmSource),
    mount('sysfs', '/sys', ['nosuid', 'noexec', 'nodev', access]),
    mount('cgroup', '/sys/fs/cgroup', ['nosuid', 'noexec', 'nodev', 'relatime', access]),
  ]
}

/** Shared memory belongs to the IPC namespace: who shares the host's shares its folder too. */
function shm(spec: ContainerSpec, shmSource: string | null): OciMount {
  const source = shmSource ?? (spec.ipcMode?.kind === 'host' ? '/dev/shm' : null)
  if (source === null)
    return mount('tmpfs', '/dev/shm', [
      'nosuid',
      'noexec',
      'nodev',
      'mode=1777',
      `size=${spec.shmBytes}`,
    ])
  const options = ['rbind', 'rprivate', 'nosuid', 'noexec', 'nodev']
  return { type: 'bind', destination: '/dev/shm', source, options }
}

const mount = (type: string, destination: string, options: readonly string[]): OciMount => ({
  type,
  destination,
  source: type === 'tmpfs' && destination === '/dev/shm' ? 'shm' : type,
  options,
})

/** Defaults first; a mount of the user's in the same place takes over. */
export function joinMounts(
  system: readonly OciMount[],
  own: readonly OciMount[],
): readonly OciMount[] {
  const taken = new Set(own.map(({ destination }) => destination))
  return [...system.filter(({ destination }) => !taken.has(destination)), ...own]
}
