import { calledBy } from '../model/shared.ts'
import type { Unit } from './unit.ts'

/** What a user did to a container's networks stays as it is, and is not passed over in silence. */
export function handNotes({ observed, managed, tasks }: Unit): readonly string[] {
  if (observed === null || !managed) return []
  const { name, connected = [], disconnected = [] } = observed
  const on = connected.map(({ network }) => calledBy(network))
  const off = disconnected
    .filter((network) => !connected.some((one) => one.network === network))
    .map(calledBy)
  if (tasks.remove !== undefined) {
    const lost = [...on, ...off].map((network) => `\`${network}\``)
    if (lost.length === 0 || tasks.create === undefined) return []
    return [
      `\`${name}\` is made anew: what was done by hand to its place on ${lost.join(', ')} goes`,
    ]
  }
  return [
    ...on.map(
      (network) =>
        `\`${name}\` is on network \`${network}\` by hand; pak network disconnect ${network} ${name} ends that`,
    ),
    ...off.map(
      (network) =>
        `\`${name}\` was taken off network \`${network}\` by hand; pak network connect ${network} ${name} puts it back`,
    ),
  ]
}
