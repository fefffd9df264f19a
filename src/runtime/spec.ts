import { PakError } from '../errors.ts'
import { INIT_PATH } from './init.ts'
import { joinMounts, systemMounts } from './mounts.ts'
import type { OciMount, OciNamespace, OciSpec } from './oci-types.ts'
import { hostnameOf, initProcess, type ProcessInput } from './process.ts'
import { deviceRules, ociDevices, ociResources, type ResourceHost } from './resources.ts'

const CGROUP_ROOT = '/sys/fs/cgroup'

export interface SpecInput extends ProcessInput {
  readonly id: string
  /** Relative to the hierarchy's root, with a leading slash. */
  readonly cgroupsPath: string
  readonly cgroups: ResourceHost
  /** The mounted root, absolute. */
  readonly rootfs: string
  /** Resolved: volumes, binds, tmpfs, hosts, resolv.conf, hostname; parents before children. */
  readonly mounts: readonly OciMount[]
  /** Namespaces of other containers to join (`/proc/PID/ns/...`); `null`: one of its own, or the host's. */
  readonly namespaces: {
    readonly network: string | null
    readonly pid: string | null
    readonly ipc: string | null
  }
  /** The host's init for `init: true`, see `findInit`. */
  readonly init?: string | null
  /** A folder to use as `/dev/shm`, where several containers share it. */
  readonly shmSource?: string | null
  readonly annotations?: Readonly<Record<string, string>>
  /** It has addresses of IPv6. */
  readonly ipv6?: boolean
}

/** Everything that decides about a container, joined into the OCI runtime spec. Pure. */
export function ociSpec(input: SpecInput): OciSpec {
  const { spec, security, rootfs } = input
  const hostname = hostnameOf(spec, input.name)
  return {
    ociVersion: '1.0.2',
    process: initProcess(input),
    root: { path: rootfs, readonly: spec.readOnly },
    ...(hostname === null ? {} : { hostname }),
    mounts: [
      ...joinMounts(systemMounts(spec, input.shmSource ?? null), input.mounts),
      ...v1CgroupRoot(input),
      ...initMount(input),
    ],
    linux: {
      namespaces: namespacesOf(input),
      cgroupsPath: input.cgroupsPath,
      resources: {
        ...ociResources(spec.limits, input.cgroups),
        devices: deviceRules(security),
      },
      devices: ociDevices(security),
      sysctl: sysctlsOf(input),
      maskedPaths: security.maskedPaths,
      readonlyPaths: security.readonlyPaths,
      ...propagationOf(input.mounts),
      ...(security.seccomp.kind === 'json' ? { seccomp: security.seccomp.profile } : {}),
    },
    annotations: {
      ...input.annotations,
      ...(security.seccomp.kind === 'bpf'
        ? { 'run.oci.seccomp_bpf_data': security.seccomp.base64 }
        : {}),
    },
  }
}

/**
 * On v1 the folder above the hierarchies is a tmpfs of the runtime's making, which it leaves writable. It
 * must not be a read-only path: crun lays a copy of the tree over it, in which every hierarchy can be
 * written.
 */
function v1CgroupRoot({ spec, cgroups }: SpecInput): readonly OciMount[] {
  if (cgroups.version !== 1 || spec.privileged) return []
  const options = ['remount', 'bind', 'ro', 'nosuid', 'noexec', 'nodev', 'relatime']
  return [{ type: 'bind', source: CGROUP_ROOT, destination: CGROUP_ROOT, options }]
}

function initMount({ spec, init, name }: SpecInput): readonly OciMount[] {
  if (!spec.init) return []
  if (init === undefined || init === null)
    throw new PakError('tool_missing', `run \`${name}\`: no init is installed`, {
      hint: 'install the package catatonit (or tini), or run pak doctor --install',
    })
  const options = ['bind', 'ro', 'nosuid', 'nodev']
  return [{ type: 'bind', source: init, destination: INIT_PATH, options }]
}

/** Own ones but for what is shared: with the host by leaving it out, with a container by its path. */
function namespacesOf({ spec, namespaces, name }: SpecInput): readonly OciNamespace[] {
  const shared = (
    type: 'network' | 'pid' | 'ipc',
    kind: 'own' | 'host' | 'service' | 'container',
  ): readonly OciNamespace[] => {
    const path = namespaces[type]
    if (kind === 'host') return []
    if (kind === 'own') return [{ type }]
    if (path === null)
      throw new PakError('conflict', `share ${type} namespace with \`${name}\`: it does not run`)
    return [{ type, path }]
  }
  const network = spec.networkMode.kind
  return [
    { type: 'mount' },
    ...shared('pid', spec.pidMode?.kind ?? 'own'),
    ...shared('network', network === 'bridge' || network === 'none' ? 'own' : network),
    ...shared('ipc', spec.ipcMode?.kind ?? 'own'),
    ...(spec.utsMode === 'host' ? [] : [{ type: 'uts' } as const]),
    { type: 'cgroup' },
  ]
}

/** ip-sysctl.rst of the kernel: what is for one address comes in a frame for one, or a policy has not seen it. */
const NO_UNICAST_IN_BROADCAST = 'drop_unicast_in_l2_multicast'

/** Kernels since 4.11 let a namespace open low ports; Docker does the same, so that any user may bind 80. */
function sysctlsOf({ spec, ipv6 = false }: SpecInput): Readonly<Record<string, string>> {
  const isBridged = spec.networkMode.kind === 'bridge'
  const ownNetwork = isBridged || spec.networkMode.kind === 'none'
  return {
    ...(isBridged ? { [`net.ipv4.conf.all.${NO_UNICAST_IN_BROADCAST}`]: '1' } : {}),
    // An interface has of IPv6 what was the default when it came.
    ...(isBridged && ipv6 ? { [`net.ipv6.conf.default.${NO_UNICAST_IN_BROADCAST}`]: '1' } : {}),
    ...(ownNetwork ? { 'net.ipv4.ip_unprivileged_port_start': '0' } : {}),
    ...(ownNetwork ? { 'net.ipv4.ping_group_range': '0 2147483647' } : {}),
    // The spec's own field for it is younger than the runtimes that pak supports.
    ...(spec.utsMode === null && spec.domainname !== null
      ? { 'kernel.domainname': spec.domainname }
      : {}),
    ...spec.sysctls,
  }
}

/** A mount that shares its later mounts with the host needs a root that does. */
function propagationOf(mounts: readonly OciMount[]): { readonly rootfsPropagation?: string } {
  const all = new Set(mounts.flatMap(({ options }) => options))
  if (all.has('shared') || all.has('rshared')) return { rootfsPropagation: 'shared' }
  if (all.has('slave') || all.has('rslave')) return { rootfsPropagation: 'slave' }
  return {}
}
