import type { PublishedPort } from '../model/desired.ts'
import { hostsMeet } from '../model/port.ts'
import { OPEN_GROUND, receiverOf } from '../model/receiver.ts'
import { type Check, reportAt } from './check.ts'
import type { ServiceDraft } from './normalize.ts'
import { parsePort } from './ports.ts'
import { renderPath } from './problem.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** No port of the host is published twice, written-out ranges included; 0.0.0.0 takes it on all addresses. */
export function checkPorts(check: Check): void {
  const { enabled, problems } = check
  const claims = new Map<number, Claim[]>()
  for (const draft of enabled) {
    if (draft.service.replicas === 0) continue
    for (const port of draft.service.container.ports) {
      checkFamily(check, draft, port)
      const others = claims.get(port.published) ?? []
      const other = others.find((claim) => collide(claim.port, port))
      if (other === undefined) claims.set(port.published, [...others, { port, draft }])
      else {
        const at = portField(draft, port)
        if (problems.covers(at.path)) continue
        const holder = portField(other.draft, other.port)
        const message = `port ${port.published} is published by \`${renderPath(holder.path)}\` already`
        reportAt(problems, at, message)
      }
    }
  }
}

/** IPv6 arrives at the network that has the default route, or not at all. */
function checkFamily(check: Check, draft: ServiceDraft, port: PublishedPort): void {
  if (!port.hostIp.includes(':') || check.problems.covers(portField(draft, port).path)) return
  const declared = new Map(check.draft.networks.map(({ value }) => [value.name, value]))
  const first = receiverOf(draft.service.container, (name) => declared.get(name) ?? OPEN_GROUND)
  const network = first === null ? undefined : declared.get(first)
  if (network?.ipv6 !== undefined || network?.cni !== undefined) return
  const message =
    first === null
      ? 'a port of IPv6 needs a network'
      : `network \`${first}\` has no IPv6, so this port leads nowhere`
  reportAt(check.problems, portField(draft, port), message, 'say `enable_ipv6: true` there')
}

interface Claim {
  readonly port: PublishedPort
  readonly draft: ServiceDraft
}

function collide(a: PublishedPort, b: PublishedPort): boolean {
  return a.protocol === b.protocol && hostsMeet(a.hostIp, b.hostIp)
}

function portField({ field }: ServiceDraft, port: PublishedPort): Field {
  const ports = child(field, 'ports')
  return itemsOf(ports).find((item) => writes(item, port)) ?? ports ?? field
}

function writes(item: Field, port: PublishedPort): boolean {
  const written =
    textOf(item) ?? `${textOf(child(item, 'published'))}:${textOf(child(item, 'target'))}`
  return parsePort(written).some(
    ({ published, target }) => published === port.published && target === port.target,
  )
}
