import { PakError } from '../../errors.ts'
import type { DesiredState } from '../../model/desired.ts'

/** The desired state with other numbers of replicas: each scale is `service=number`. */
export function scaled(desired: DesiredState, scales: readonly string[]): DesiredState {
  if (scales.length === 0) return desired
  const wanted = new Map(scales.map(parseScale))
  for (const [name, replicas] of wanted) {
    const service = desired.services.find((known) => known.name === name)
    if (service === undefined) throw new PakError('usage', `scale \`${name}\`: no such service`)
    if (service.containerName !== null && replicas > 1)
      throw new PakError('usage', `scale \`${name}\`: container_name allows one replica only`)
  }
  return {
    ...desired,
    services: desired.services.map((service) => ({
      ...service,
      replicas: wanted.get(service.name) ?? service.replicas,
    })),
  }
}

/** `web=3`. */
export function parseScale(text: string): readonly [string, number] {
  const parts = /^([^=]+)=(\d{1,5})$/.exec(text)
  if (parts?.[1] === undefined)
    throw new PakError('usage', `scale: expected service=number, got \`${text}\``)
  return [parts[1], Number(parts[2])]
}
