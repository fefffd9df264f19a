import { PakError } from '../../errors.ts'
import type { Network, Service } from '../../model/desired.ts'
import { vlanOf } from '../../model/lan.ts'
import { lanObstacles, rivalry } from '../../model/lan-obstacles.ts'
import { isLan } from '../../model/network-kind.ts'
import { isForeign } from '../../model/shared.ts'
import { overlaps } from '../../network/ipam.ts'
import { hasKind } from '../../network/lan.ts'
import type { PreflightRequest } from '../executor.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { noSuchParent } from './lan.ts'

/** Networks on a LAN: this kernel and this machine must have what they hang on, for nobody else. */
export async function missingLans(
  host: LinuxHost,
  { steps, observed }: Pick<PreflightRequest, 'steps' | 'observed'>,
): Promise<readonly PakError[]> {
  const wanted = steps.flatMap((step) =>
    step.op === 'network.create' && isLan(step.args.network) ? [step.args.network] : [],
  )
  const found = await Promise.all(
    wanted.map(async (network) => [
      ...((await kernelObstacle(host, network)) ?? (await parentObstacle(host, network)) ?? []),
      ...rivals(host, observed.project, network),
    ]),
  )
  return found.flat()
}

type Finding = readonly [PakError]

async function kernelObstacle(
  host: LinuxHost,
  { name, driver, lan }: Network,
): Promise<Finding | null> {
  const parent = lan?.parent ?? null
  const base = parent === null ? 'dummy' : await missingVlan(host, parent)
  for (const kind of [driver, ...(base === null ? [] : [base])]) {
    if (await hasKind(host.kernel, kind)) continue
    const reason = `this kernel has no links of kind ${kind}`
    const hint =
      kind === 'dummy'
        ? 'name a `parent` in `driver_opts`'
        : `its module is ${kind === 'vlan' ? '8021q' : kind}`
    return [new PakError('host', `network \`${name}\`: ${reason}`, { hint })]
  }
  return null
}

/** `vlan`: the parent is one that pak has to make. */
async function missingVlan({ kernel }: LinuxHost, parent: string): Promise<'vlan' | null> {
  const there = await kernel.exists(`/sys/class/net/${parent}`)
  return there || vlanOf(parent) === null ? null : 'vlan'
}

async function parentObstacle(
  { kernel }: LinuxHost,
  { name, lan }: Network,
): Promise<Finding | null> {
  if (lan === undefined || lan.parent === null) return null
  const { parent } = lan
  const own = (await kernel.readText(`/sys/class/net/${parent}/flags`))?.trim()
  const link = own === undefined ? (vlanOf(parent)?.link ?? parent) : parent
  const flags = own ?? (await kernel.readText(`/sys/class/net/${link}/flags`))?.trim()
  if (flags === undefined) return [noSuchParent(name, link)]
  if ((Number(flags) & IFF_UP) !== 0) return null
  const reason = `network \`${name}\`: link \`${link}\` is down`
  return [new PakError('conflict', reason, { hint: `ip link set ${link} up` })]
}

const IFF_UP = 1

/** Others on the same link, of any project: two networks must not give one address to two containers. */
function rivals(host: LinuxHost, project: string, network: Network): readonly PakError[] {
  const parent = network.lan?.parent ?? null
  if (parent === null) return []
  const others = host.records
    .loaded()
    .flatMap(({ name: owner, networks }) =>
      [...networks.values()].map((record) => ({ owner, record })),
    )
    .filter(({ record }) => record.spec.lan?.parent === parent)
    .filter(({ owner, record }) => owner !== project || record.spec.name !== network.name)
  return others.flatMap(({ owner, record }) => {
    const of = owner === project ? '' : ` (it is of project ${owner})`
    const reason = rivalry(network, record.spec)
    if (reason !== null)
      return new PakError('conflict', `network \`${network.name}\`: ${reason}${of}`)
    const [mine, theirs] = [network.ipRange ?? network.subnet, record.spec.ipRange ?? record.subnet]
    if (mine === null || !overlaps(mine, theirs)) return []
    const where = `network \`${record.spec.name}\` gives out ${theirs} on ${parent}, too${of}`
    return new PakError('subnet_taken', `network \`${network.name}\`: ${where}`, {
      hint: 'give each an `ip_range` of its own, or join the one with `external: true`',
    })
  })
}

/** What containers want that cannot be had on the LANs of others that they join. */
export function impossibleOnLans(
  host: LinuxHost,
  { desired, observed, steps }: PreflightRequest,
): readonly PakError[] {
  const networks = networksFor(host, observed.project)
  const connected = new Map(
    steps.flatMap((step) =>
      step.op === 'container.connect' ? [[step.args.container, step.args.attachment] as const] : [],
    ),
  )
  const serviceOf = new Map(observed.containers.map(({ name, service }) => [name, service]))
  const touched = new Set(
    steps.flatMap((step) => {
      if (step.op === 'container.create') return step.args.service
      return step.op === 'container.update' ? (serviceOf.get(step.args.container) ?? []) : []
    }),
  )
  const joins = (desired?.services ?? []).flatMap((service): readonly Service[] => {
    const more = observed.containers.flatMap(({ name, service: of }) =>
      of === service.name ? (connected.get(name) ?? []) : [],
    )
    if (more.length === 0 && !touched.has(service.name)) return []
    const { container } = service
    return [{ ...service, container: { ...container, networks: [...container.networks, ...more] } }]
  })
  return joins.flatMap((service) =>
    lanObstacles(service, (name) => networks.get(name)?.spec)
      .filter(({ network }) => isForeign(network) || connected.size > 0)
      .map(
        ({ reason, hint }) =>
          new PakError(
            'conflict',
            `service \`${service.name}\`: ${reason}`,
            hint === null ? {} : { hint },
          ),
      ),
  )
}
