import { PakError } from '../errors.ts'

/**
 * Docker's default set without CAP_MKNOD: a service that makes device nodes says so with
 * `cap_add: [MKNOD]`. CAP_NET_RAW stays, as ping needs it; drop it with `cap_drop: [NET_RAW]`.
 */
const DEFAULT_SET = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** In the order of their bits, linux/capability.h. */
const ALL = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
]

interface CapabilityRequest {
  readonly add: readonly string[]
  readonly drop: readonly string[]
  readonly privileged: boolean
  /** What pak itself holds, `CAP_` names; nobody can be given more. */
  readonly available: readonly string[]
}

/**
 * The capabilities of a container, sorted, with `CAP_`. `ALL` works on both sides: `add: ALL` with
 * `drop: X` is everything but X, `drop: ALL` with `add: X` is X alone, as in Docker. Those that this
 * host cannot give are left out and named in `missing`.
 */
export function containerCapabilities(request: CapabilityRequest): {
  readonly capabilities: readonly string[]
  readonly missing: readonly string[]
} {
  const wanted = [...new Set(request.privileged ? ALL : chosen(request))].sort()
  const available = new Set(request.available)
  return {
    capabilities: wanted.filter((name) => available.has(name)),
    // A privileged container asks for whatever there is; only a capability asked for by name is missed.
    missing: request.privileged ? [] : wanted.filter((name) => !available.has(name)),
  }
}

/** Capabilities in the hexadecimal mask of `/proc/PID/status`, for example its `CapEff`. */
export function capabilitiesOfMask(mask: string): readonly string[] {
  const bits = BigInt(`0x${/^[0-9a-f]{1,16}$/.test(mask) ? mask : '0'}`)
  return ALL.filter((_, bit) => (bits >> BigInt(bit)) & 1n)
}

function chosen({ add, drop }: CapabilityRequest): readonly string[] {
  const added = add.map(fullName)
  const dropped = drop.map(fullName)
  const base = added.includes('CAP_ALL') ? ALL : dropped.includes('CAP_ALL') ? [] : DEFAULT_SET
  const kept = base.filter((name) => !dropped.includes(name))
  const extra = added.filter((name) => name !== 'CAP_ALL' && !dropped.includes(name))
  return [...kept, ...extra]
}

function fullName(name: string): string {
  const upper = name.toUpperCase()
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (full !== 'CAP_ALL' && !ALL.includes(full))
    throw new PakError('manifest', `give capability \`${name}\`: Linux has none of this name`)
  return full
}
