import type { Network } from '../model/desired.ts'
import { type Check, partOf, reportAt } from './check.ts'

/** What two networks that span machines cannot share: on every machine they meet in one kernel. */
export function checkTunnels({ draft, problems }: Check): void {
  const taken = new Map<string, string>()
  for (const { value, field } of draft.networks)
    for (const place of placesOf(value)) {
      const other = taken.get(place)
      const at = partOf(field, 'driver_opts')
      const hint = 'give one of them another in `driver_opts`'
      if (other !== undefined)
        reportAt(problems, at, `network \`${other}\` has ${place}, too`, hint)
      taken.set(place, value.name)
    }
}

function placesOf({ overlay }: Network): readonly string[] {
  if (overlay === undefined) return []
  const { vni, port, wireguardPort } = overlay
  return [
    `vni ${vni} on port ${port}`,
    ...(wireguardPort === undefined ? [] : [`wireguard_port ${wireguardPort}`]),
  ]
}
