import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Bandwidth } from '../model/desired.ts'
import { INTERFACE_NAME } from './words.ts'

/** A container's interfaces, whose rate is bounded. */
export interface Shaped {
  readonly pid: number
  readonly bandwidth: Bandwidth
  /** `host` is the end on the bridge, `null` where there is none, `peer` the one inside. */
  readonly ends: readonly { readonly host: string | null; readonly peer: string }[]
}

/**
 * Bound what reaches containers at their end on the bridge, for all in one `tc -batch` (tc-tbf(8)), and
 * what they send at the end inside, which they cannot change without NET_ADMIN. Throws `network`.
 */
export async function shape(kernel: Kernel, containers: readonly Shaped[]): Promise<void> {
  await tcBatch(
    kernel,
    containers.flatMap(({ bandwidth, ends }) =>
      ends.flatMap(({ host }) => (host === null ? [] : bucket(host, bandwidth.ingressBits))),
    ),
    null,
  )
  for (const { pid, bandwidth, ends } of containers)
    await tcBatch(
      kernel,
      ends.flatMap(({ peer }) => bucket(peer, bandwidth.egressBits)),
      pid,
    )
}

/** Packets of one segment offloaded by the sender are up to 64 KiB, and must fit. */
const LEAST_BURST = 128 * 1024
/** Of a full rate, which a timer of 100 Hz still reaches. */
const BURST_SECONDS = 0.02

function bucket(device: string, bits: number | null): readonly string[] {
  if (bits === null) return []
  if (!INTERFACE_NAME.test(device) || !Number.isSafeInteger(bits) || bits <= 0)
    throw new PakError('network', `bandwidth of \`${device}\`: refused`)
  const burst = burstBytes(bits)
  return [`qdisc replace dev ${device} root tbf rate ${bits}bit burst ${burst} latency 50ms`]
}

/** What may come at once at a rate of so many bits a second. */
export const burstBytes = (bits: number): number =>
  Math.max(LEAST_BURST, Math.ceil((bits / 8) * BURST_SECONDS))

async function tcBatch(
  kernel: Kernel,
  lines: readonly string[],
  pid: number | null,
): Promise<void> {
  if (lines.length === 0) return
  const input = `${lines.join('\n')}\n`
  const { exitCode, stderr } =
    pid === null
      ? await kernel.run('tc', ['-batch', '-'], { input })
      : await kernel.run('nsenter', [`--net=/proc/${pid}/ns/net`, 'tc', '-batch', '-'], { input })
  if (exitCode === 0) return
  const reason =
    stderr
      .trim()
      .split('\n')[0]
      ?.replace(/^Error: /, '') || 'refused'
  throw new PakError('network', `bandwidth: tc: ${reason}`, {
    hint: 'the kernel needs sch_tbf',
  })
}
