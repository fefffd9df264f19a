import type { JsonObject } from '../../model/cni.ts'
import type { Attachment, Bandwidth, PublishedPort } from '../../model/desired.ts'
import { ANY_HOST } from '../../model/port.ts'
import { burstBytes } from '../bandwidth.ts'

/** What plugins can be told of a container (CNI's CONVENTIONS.md), by capability. What is not here is not said. */
export function capabilitiesOf(of: {
  readonly attachment: Attachment
  /** Of the service, the container and both their aliases. */
  readonly names: readonly string[]
  readonly ports: readonly PublishedPort[]
  readonly bandwidth: Bandwidth | null
}): JsonObject {
  const { attachment, names, ports, bandwidth } = of
  const { ipv4, ipv6, mac } = attachment
  const ips = [...(ipv4 === null ? [] : [ipv4]), ...(ipv6 === undefined ? [] : [ipv6])]
  return {
    aliases: names,
    ...(ips.length === 0 ? {} : { ips }),
    ...(mac === undefined ? {} : { mac }),
    ...(ports.length === 0 ? {} : { portMappings: ports.map(mappingOf) }),
    ...(bandwidth === null ? {} : { bandwidth: ratesOf(bandwidth) }),
  }
}

function mappingOf({ hostIp, published, target, protocol }: PublishedPort): JsonObject {
  const everywhere = hostIp === ANY_HOST
  return {
    hostPort: published,
    containerPort: target,
    protocol,
    ...(everywhere ? {} : { hostIP: hostIp }),
  }
}

/** Rates and bursts are bits; plugins take no burst of 4 GiB. */
function ratesOf({ ingressBits, egressBits }: Bandwidth): JsonObject {
  const burst = (bits: number) => Math.min(burstBytes(bits), 2 ** 32 - 2) * 8
  return {
    ...(ingressBits === null ? {} : { ingressRate: ingressBits, ingressBurst: burst(ingressBits) }),
    ...(egressBits === null ? {} : { egressRate: egressBits, egressBurst: burst(egressBits) }),
  }
}
