import type { Network } from '../model/desired.ts'
import { type LanObstacle, lanObstacles, rivalry } from '../model/lan-obstacles.ts'
import { type Check, namedPart, partOf, reportAt, sharers } from './check.ts'
import { child, type Field } from './tree.ts'

/** What cannot be had on a LAN. Of networks of others it is known when they are joined, see the preflight. */
export function checkLans(check: Check): void {
  const { draft, enabled, problems } = check
  checkParents(check)
  checkPassthru(check)
  const networks = new Map(draft.networks.map(({ value }) => [value.name, value]))
  for (const { service, field } of enabled)
    for (const obstacle of lanObstacles(service, (name) => networks.get(name))) {
      const { reason, hint } = obstacle
      reportAt(problems, placeOf(field, obstacle), reason, hint)
    }
}

function placeOf(field: Field, { key, network }: LanObstacle): Field {
  if (key === 'mac_address') return partOf(namedPart(field, 'networks', network), key)
  if (key === 'bandwidth') return child(child(field, key), 'ingress') ?? field
  if (key !== 'endpoint_mode') return partOf(field, key)
  return child(field, key) ?? child(child(field, 'deploy'), key) ?? field
}

/** A link carries either kind, and its ipvlans are of one mode. */
function checkParents({ draft, problems }: Check): void {
  const seen = new Map<string, Network>()
  for (const { value, field } of draft.networks) {
    const parent = value.lan?.parent
    if (parent === undefined || parent === null) continue
    const other = seen.get(parent)
    const reason = other === undefined ? null : rivalry(value, other)
    const options = partOf(field, 'driver_opts')
    if (reason !== null) reportAt(problems, child(options, 'parent') ?? options, reason)
    seen.set(parent, value)
  }
}

function checkPassthru({ draft, enabled, problems }: Check): void {
  for (const { value, field } of draft.networks) {
    if (value.lan?.mode !== 'passthru') continue
    const on = enabled.flatMap(({ service }) =>
      service.container.networks.some(({ network }) => network === value.name) ? service : [],
    )
    const replicas = on.reduce((sum, service) => sum + service.replicas, 0)
    const several = on.flatMap((service) => sharers(service) ?? [])[0]
    const message = 'a network of mode `passthru` has room for one container'
    const options = partOf(field, 'driver_opts')
    if (replicas > 1) reportAt(problems, options, `${message}, not ${replicas}`)
    else if (several !== undefined) reportAt(problems, options, `${message}: ${several} share it`)
  }
}
