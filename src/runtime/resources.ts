import type { Limits } from '../model/limits.ts'
import type { SecurityFragment } from '../security/fragment.ts'
import type { OciDevice, OciDeviceRule, OciResources } from './oci-types.ts'

/** Which interface of the kernel the limits are for. */
export interface ResourceHost {
  readonly version: 1 | 2
  /** Whether the kernel accounts swap: without, its limit files do not exist. */
  readonly swapAccounting: boolean
}

/** The usual period of the CFS quota; longer where a quota would be below the kernel's minimum of 1 ms. */
const PERIOD_USEC = 100_000
const LONG_PERIOD_USEC = 1_000_000

/**
 * Limits as `linux.resources`. The weight is given in each kernel's own unit, as runtimes disagree on the
 * conversion. On v2 an OOM kill takes the whole container (`memory.oom.group`), never half of it; v1 has
 * no such switch, and the agent does it. Pure.
 */
export function ociResources(limits: Limits, host: ResourceHost): OciResources {
  const cpu = {
    ...(limits.cpuMillis === null ? {} : cpuQuota(limits.cpuMillis)),
    ...(limits.cpuWeight === null || host.version === 2
      ? {}
      : { shares: sharesOfWeight(limits.cpuWeight) }),
    ...(limits.cpuset === null ? {} : { cpus: limits.cpuset }),
  }
  const memory = {
    ...(limits.memoryBytes === null ? {} : { limit: limits.memoryBytes }),
    ...(limits.memoryBytes === null || limits.swapBytes === null || !host.swapAccounting
      ? {}
      : { swap: limits.memoryBytes + limits.swapBytes }),
  }
  const unified = {
    'memory.oom.group': limits.oom === 'process' ? '0' : '1',
    ...(limits.cpuWeight === null ? {} : { 'cpu.weight': String(limits.cpuWeight) }),
  }
  return {
    ...(Object.keys(cpu).length === 0 ? {} : { cpu }),
    ...(Object.keys(memory).length === 0 ? {} : { memory }),
    ...(limits.pids === null ? {} : { pids: { limit: limits.pids } }),
    ...(host.version === 2 ? { unified } : {}),
  }
}

/** Whether there are limits that not every OCI runtime knows: they are written before the container starts. */
export function beyondRuntimes(limits: Limits): boolean {
  const { cpuBurstMillis, memoryHighBytes, memoryReservationBytes, swappiness, ioWeight } = limits
  const single = [cpuBurstMillis, memoryHighBytes, memoryReservationBytes, swappiness, ioWeight]
  return (
    limits.io.length + Object.keys(limits.hugepages).length > 0 ||
    single.some((value) => value !== null)
  )
}

/** Microseconds of CPU time in each period of so many microseconds. */
export function cpuQuota(cpuMillis: number): { readonly quota: number; readonly period: number } {
  const period = cpuMillis < 10 ? LONG_PERIOD_USEC : PERIOD_USEC
  return { quota: Math.round((cpuMillis * period) / 1000), period }
}

/** v1 `cpu.shares` for a v2 weight: the defaults 1024 and 100 mean the same. */
export const sharesOfWeight = (weight: number): number =>
  Math.min(262_144, Math.max(2, Math.round((weight * 1024) / 100)))

/** All devices refused but the granted ones; the runtime adds null, zero, tty and the like itself. */
export function deviceRules(security: SecurityFragment): readonly OciDeviceRule[] {
  if (security.anyDevice) return [{ allow: true, access: 'rwm' }]
  return [
    { allow: false, access: 'rwm' },
    ...security.devices.map(({ kind, major, minor, permissions }) => ({
      allow: true,
      type: kind === 'char' ? ('c' as const) : ('b' as const),
      major,
      minor,
      access: permissions,
    })),
  ]
}

/** Nodes that the runtime makes in the container's own `/dev`; the last word on a path wins. */
export function ociDevices(security: SecurityFragment): readonly OciDevice[] {
  const nodes = security.devices.map(({ kind, path, major, minor, mode, uid, gid }) => ({
    type: kind === 'char' ? ('c' as const) : ('b' as const),
    path,
    major,
    minor,
    fileMode: mode & 0o777,
    uid,
    gid,
  }))
  return [...new Map(nodes.map((node) => [node.path, node])).values()]
}
