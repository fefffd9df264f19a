import type { PublishedPort } from '../model/desired.ts'
import { type Check, reportAt } from './check.ts'
import type { ServiceDraft } from './normalize.ts'
import { parsePort } from './ports.ts'
import { renderPath } from './problem.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** No port of the host is published twice, written-out ranges included; 0.0.0.0 takes it on all addresses. */
export function checkPorts({ enabled, problems }: Check): void {
  const claims = new Map<number, Claim[]>()
  for (const draft of enabled) {
    if (draft.service.replicas === 0) continue
    for (const port of draft.service.container.ports) {
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

interface Claim {
  readonly port: PublishedPort
  readonly draft: ServiceDraft
}

const ANY = '0.0.0.0'

function collide(a: PublishedPort, b: PublishedPort): boolean {
  return (
    a.protocol === b.protocol && (a.hostIp === b.hostIp || a.hostIp === ANY || b.hostIp === ANY)
  )
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
