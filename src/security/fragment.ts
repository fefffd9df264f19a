import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { ContainerSpec } from '../model/desired.ts'
import { capabilitiesOfMask, containerCapabilities } from './capabilities.ts'
import { allDevices, type GrantedDevice, grantedDevices } from './devices.ts'
import { MASKED_PATHS, READONLY_PATHS } from './paths.ts'
import { type ClampedRlimits, clampRlimits, parseLimits } from './rlimits.ts'
import { ociProfile } from './seccomp/docker.ts'
import { defaultFilter } from './seccomp/filter.ts'
import { defaultOciSeccomp, type OciSeccomp } from './seccomp/oci.ts'

/** What security has to say about one container, in parts that the OCI spec is joined from. */
export interface SecurityFragment {
  /** `CAP_` names, sorted: bounding, effective and permitted alike. */
  readonly capabilities: readonly string[]
  readonly noNewPrivileges: boolean
  readonly seccomp:
    | { readonly kind: 'none' }
    /** Classic BPF in base64, for crun's annotation `run.oci.seccomp_bpf_data`. */
    | { readonly kind: 'bpf'; readonly base64: string }
    | { readonly kind: 'json'; readonly profile: OciSeccomp }
  readonly apparmor: string | null
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
  readonly rlimits: ClampedRlimits['rlimits']
  /** `null`: what pak itself has, which every process inherits, is what is wanted, or as little as may be set. */
  readonly oomScoreAdj: number | null
  readonly devices: readonly GrantedDevice[]
  /** All devices of the host, whether they have a node or not. */
  readonly anyDevice: boolean
  /** What could not be had in full on this host, one line each. */
  readonly notes: readonly string[]
}

/** What the host lets pak do, read once. */
export interface SecurityHost {
  /** Node's word: `x64`, `arm64`. */
  readonly architecture: string
  readonly capabilities: readonly string[]
  readonly limits: ReturnType<typeof parseLimits>
  /** Pak's own: less only with CAP_SYS_RESOURCE (proc_pid_oom_score_adj(5)). */
  readonly oomScoreAdj: number
  /** `fs.nr_open`, the most that `nofile` may be. */
  readonly nrOpen: number
  readonly seccomp: boolean
  readonly apparmor: boolean
  /** Whether the OCI runtime takes BPF: it has shown `Seccomp: 2` with it, or is known to. */
  readonly takesBpf: boolean
}

/**
 * Capabilities, seccomp, paths, rlimits and devices of a container. PakError `host` names a device that
 * is not there, `manifest` a capability or a seccomp profile that makes no sense.
 */
export async function securityFragment(
  spec: ContainerSpec,
  { kernel, runtime, host }: { kernel: Kernel; runtime: string; host?: SecurityHost },
): Promise<SecurityFragment> {
  const facts = host ?? (await securityHost(kernel, runtime))
  const devices = [
    ...(spec.privileged ? await allDevices(kernel) : []),
    ...(await grantedDevices(kernel, spec.devices)),
  ]
  return joinFragment(spec, facts, devices)
}

const DEFAULT_NR_OPEN = 1_048_576

/** `runtime` is the OCI runtime's name or path: only crun has a way to take BPF. */
export async function securityHost(kernel: Kernel, runtime: string): Promise<SecurityHost> {
  const [status, limits, oomScoreAdj, nrOpen, apparmor] = await Promise.all([
    kernel.readText('/proc/self/status'),
    kernel.readText('/proc/self/limits'),
    kernel.readText('/proc/self/oom_score_adj'),
    kernel.readText('/proc/sys/fs/nr_open'),
    kernel.readText('/sys/module/apparmor/parameters/enabled'),
  ])
  return {
    architecture: process.arch,
    capabilities: capabilitiesOfMask(/^CapEff:\s*([0-9a-f]+)$/m.exec(status ?? '')?.[1] ?? ''),
    limits: parseLimits(limits ?? ''),
    oomScoreAdj: Number(oomScoreAdj?.trim() ?? 0),
    nrOpen: Number(nrOpen?.trim() ?? DEFAULT_NR_OPEN),
    seccomp: /^Seccomp:/m.test(status ?? ''),
    apparmor: apparmor?.trim() === 'Y',
    takesBpf: runtime.slice(runtime.lastIndexOf('/') + 1) === 'crun',
  }
}

/** Pure. */
export function joinFragment(
  spec: ContainerSpec,
  host: SecurityHost,
  devices: readonly GrantedDevice[],
): SecurityFragment {
  const { capabilities, missing } = containerCapabilities({
    add: spec.capAdd,
    drop: spec.capDrop,
    privileged: spec.privileged,
    available: host.capabilities,
  })
  const mayRaise = host.capabilities.includes('CAP_SYS_RESOURCE')
  const { limits, nrOpen } = host
  const { rlimits, notes } = clampRlimits(spec.ulimits, { limits, mayRaise, nrOpen })
  const wanted = spec.oomScoreAdj
  const oomScoreAdj = mayRaise ? wanted : Math.max(wanted, host.oomScoreAdj)
  const bare = spec.privileged || spec.security.unmaskPaths
  return {
    capabilities,
    noNewPrivileges: spec.security.noNewPrivileges,
    seccomp: seccompOf(spec, host, capabilities),
    apparmor: apparmorOf(spec, host),
    maskedPaths: bare ? [] : MASKED_PATHS,
    readonlyPaths: bare ? [] : READONLY_PATHS,
    rlimits,
    oomScoreAdj: oomScoreAdj === host.oomScoreAdj ? null : oomScoreAdj,
    devices,
    anyDevice: spec.privileged,
    notes: [
      ...notes,
      ...missing.map((name) => `capability ${name}: this host has none to give`),
      // Nobody asked for the default.
      ...(wanted === 0 || wanted === oomScoreAdj
        ? []
        : [`oom_score_adj ${wanted} raised to ${oomScoreAdj}, less may not be set on this host`]),
    ],
  }
}

/** Without AppArmor a runtime refuses any profile, even `unconfined`, which is what there is then anyway. */
function apparmorOf({ privileged, security }: ContainerSpec, host: SecurityHost): string | null {
  const profile = security.apparmor ?? (privileged ? 'unconfined' : null)
  if (host.apparmor || profile === null) return profile
  if (profile === 'unconfined') return null
  throw new PakError('host', `confine with AppArmor profile \`${profile}\`: this kernel has none`)
}

function seccompOf(
  spec: ContainerSpec,
  host: SecurityHost,
  capabilities: readonly string[],
): SecurityFragment['seccomp'] {
  const { seccomp } = spec.security
  if (typeof seccomp !== 'string') {
    const profile = ociProfile(seccomp.profile, { architecture: host.architecture, capabilities })
    return { kind: 'json', profile }
  }
  if (seccomp === 'unconfined' || spec.privileged) return { kind: 'none' }
  if (!host.seccomp)
    throw new PakError('host', 'filter system calls: this kernel has no seccomp', {
      hint: 'seccomp=unconfined in security_opt runs without a filter',
    })
  if (host.takesBpf) {
    const filter = defaultFilter(host.architecture, capabilities)
    return { kind: 'bpf', base64: filter.toString('base64') }
  }
  return {
    kind: 'json',
    profile: defaultOciSeccomp(host.architecture, capabilities, { nativeOnly: false }),
  }
}
