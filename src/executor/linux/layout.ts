import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'

export const DEFAULT_ROOT = '/var/lib/pak'
export const DEFAULT_RUN_ROOT = '/run/pak'

export interface Roots {
  /** Persistent state. */
  readonly root: string
  /** State that a reboot may take: sockets, bundles, mounts. */
  readonly runRoot: string
}

/**
 * Where everything of one pair of state roots is, on disk and in the kernel. Pure. Two pairs of roots
 * share no name: what is global on a host (cgroup, nft table, bridge, veth) carries a hash of the roots.
 */
export interface Layout extends Roots {
  /** Parent cgroup of all projects, relative to the hierarchy's root. */
  readonly cgroupParent: string
  readonly table: string
  readonly ociRoot: string
  readonly exits: string
  readonly images: string
  /** tmpfs, mounted in the agent's mount namespace only. */
  readonly volatile: string
  /** The top lower layer of every root: folders and files that mounts land on. */
  readonly initLayer: string
  /** The same for a root that contains pak's own state, which it hides: one for each such folder. */
  hostInitLayer(rootfs: string): string
  readonly projects: string
  project(projectName: string): string
  log(projectName: string, containerName: string): string
  volume(projectName: string, volumeName: string): string
  /** Writable layer and anonymous volumes of a container. */
  storage(containerId: string): string
  /** The same, for a root that contains pak's own state: see `volatile`. */
  volatileStorage(containerId: string): string
  /** Parent of all bundles. */
  readonly bundles: string
  bundle(containerId: string): string
  rootfs(containerId: string): string
  cgroup(projectName: string, containerName: string): string
  projectCgroup(projectName: string): string
  /** What hashes into the names of bridges and veths. */
  seed(...parts: readonly string[]): string
}

export function layoutOf(roots: Roots): Layout {
  const root = resolve(roots.root)
  const runRoot = resolve(roots.runRoot)
  const usual = root === DEFAULT_ROOT && runRoot === DEFAULT_RUN_ROOT
  const tag = createHash('sha256').update(`${root}\0${runRoot}`).digest('hex').slice(0, 8)
  const cgroupParent = usual ? 'pak' : `pak-${tag}`
  const projects = join(root, 'projects')
  const volatile = join(runRoot, 'volatile')
  const bundles = join(runRoot, 'containers')
  return {
    root,
    runRoot,
    cgroupParent,
    table: usual ? 'pak' : `pak_${tag}`,
    ociRoot: join(runRoot, 'oci'),
    exits: join(runRoot, 'exits'),
    images: join(root, 'images'),
    volatile,
    initLayer: join(volatile, 'init'),
    hostInitLayer: (rootfs) =>
      join(volatile, `init-${createHash('sha256').update(rootfs).digest('hex').slice(0, 8)}`),
    projects,
    project: (projectName) => join(projects, projectName),
    log: (projectName, containerName) =>
      join(projects, projectName, 'logs', `${containerName}.log`),
    volume: (projectName, volumeName) => join(root, 'volumes', projectName, volumeName, '_data'),
    storage: (containerId) => join(root, 'containers', containerId),
    volatileStorage: (containerId) => join(volatile, 'containers', containerId),
    bundles,
    bundle: (containerId) => join(bundles, containerId),
    rootfs: (containerId) => join(bundles, containerId, 'rootfs'),
    cgroup: (projectName, containerName) => `/${cgroupParent}/${projectName}/${containerName}`,
    projectCgroup: (projectName) => `/${cgroupParent}/${projectName}`,
    seed: (...parts) => [root, runRoot, ...parts].join('\0'),
  }
}
