import { PakError } from '../../errors.ts'
import { hostsMeet } from '../../model/port.ts'
import type { PreflightRequest } from '../executor.ts'
import type { MemoryHost } from './host.ts'

/** Images that are not in the store, and ports that another project has. */
export function obstacles(host: MemoryHost, { observed, steps }: PreflightRequest): PakError[] {
  return steps.flatMap((step) => {
    if (step.op === 'firewall.apply') {
      return step.args.published.flatMap((port) => portTaken(host, observed.project, port) ?? [])
    }
    if (step.op !== 'container.create') return []
    const { spec, imageDigest } = step.args
    if (spec.source.kind !== 'image' || imageDigest !== null) return []
    const reason = 'it is not in the local store'
    return [new PakError('image_missing', `use image, \`${spec.source.reference}\`: ${reason}`)]
  })
}

function portTaken(
  host: MemoryHost,
  own: string,
  port: { readonly hostIp: string; readonly published: number },
): PakError | null {
  for (const { name, firewall } of host.projects.values()) {
    const holder = firewall.published.find(
      ({ hostIp, published }) => published === port.published && hostsMeet(hostIp, port.hostIp),
    )
    if (name === own || holder === undefined) continue
    const object = `${port.hostIp}:${port.published}`
    return new PakError('port_taken', `publish, \`${object}\`: \`${holder.container}\` has it`)
  }
  return null
}
