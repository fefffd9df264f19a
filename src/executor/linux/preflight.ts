import { PakError } from '../../errors.ts'
import { meet6 } from '../../model/ipv6.ts'
import { isBridged } from '../../model/network-kind.ts'
import type { StepOf } from '../../model/plan.ts'
import { type HostPort, hostsMeet, portText } from '../../model/port.ts'
import { hostRoutes, overlaps } from '../../network/ipam.ts'
import { block6, hostRoutes6 } from '../../network/ipam6.ts'
import { hasSctp, type PortHolder, portHolders } from '../../network/ports.ts'
import { findInit } from '../../runtime/init.ts'
import { checkBinds } from '../../storage/binds.ts'
import type { PreflightRequest } from '../executor.ts'
import { unconfinable } from './confinement.ts'
import type { LinuxHost } from './host.ts'
import { pastCeiling, unenforceable } from './limits.ts'
import { missingPlugins, pluginPorts, sharedPorts } from './preflight-cni.ts'
import { impossibleOnLans, missingLans } from './preflight-lan.ts'
import { missingLoggers } from './preflight-logging.ts'
import {
  foreignBridges,
  missingNetworks,
  missingTunnels,
  usedNetworks,
} from './preflight-networks.ts'
import { missingVolumes, usedVolumes } from './volumes.ts'

/** What this machine cannot give to these steps, found before anything is touched. */
export async function preflight(
  host: LinuxHost,
  request: PreflightRequest,
): Promise<readonly PakError[]> {
  const creates = request.steps.filter((step) => step.op === 'container.create')
  const findings = await Promise.all([
    missingImages(creates),
    missingRoots(host, creates),
    missingBinds(host, creates),
    missingVolumes(host, request),
    usedVolumes(host, request),
    missingInit(host, creates),
    takenPorts(host, request),
    missingSctp(host, request),
    takenSubnets(host, request),
    missingNetworks(host, request),
    usedNetworks(host, request),
    missingTunnels(host, request),
    foreignBridges(host, request),
    missingLoggers(host, request.steps),
    missingPlugins(host, request),
    sharedPorts(request),
    missingLans(host, request),
    impossibleOnLans(host, request),
    unenforceable(host, request.steps),
    unconfinable(host, request.steps),
    pastCeiling(host, request),
  ])
  return findings.flat()
}

function missingImages(creates: readonly StepOf<'container.create'>[]): readonly PakError[] {
  const missing = creates.flatMap(({ args }) =>
    args.spec.source.kind === 'image' && args.imageDigest === null
      ? args.spec.source.reference
      : [],
  )
  return [...new Set(missing)].map(
    (reference) =>
      new PakError('image_missing', `image \`${reference}\`: not in the local store`, {
        hint: 'pak image load -i FILE brings it from an OCI layout or a docker-archive',
      }),
  )
}

async function missingRoots(
  host: LinuxHost,
  creates: readonly StepOf<'container.create'>[],
): Promise<readonly PakError[]> {
  const paths = new Set(
    creates.flatMap(({ args }) =>
      args.spec.source.kind === 'rootfs' ? args.spec.source.path : [],
    ),
  )
  const problems = await Promise.all(
    [...paths].map(async (path) =>
      (await host.kernel.stat(path))?.kind === 'folder'
        ? []
        : new PakError('not_found', `rootfs \`${path}\`: no such folder`),
    ),
  )
  return problems.flat()
}

async function missingBinds(
  host: LinuxHost,
  creates: readonly StepOf<'container.create'>[],
): Promise<readonly PakError[]> {
  const problems = await Promise.all(
    creates.map(({ args }) => checkBinds(host.kernel, args.service, args.spec.mounts)),
  )
  const seen = new Map(problems.flat().map((problem) => [problem.message, problem]))
  return [...seen.values()]
}

async function missingInit(
  host: LinuxHost,
  creates: readonly StepOf<'container.create'>[],
): Promise<readonly PakError[]> {
  if (!creates.some(({ args }) => args.spec.init)) return []
  try {
    await findInit(host.kernel)
    return []
  } catch (error) {
    if (error instanceof PakError) return [error]
    throw error
  }
}

/** A port that this plan newly publishes, and that somebody else holds: a process, or another project. */
async function takenPorts(
  host: LinuxHost,
  { steps, observed }: PreflightRequest,
): Promise<readonly PakError[]> {
  const wanted = publications({ steps, observed })
  const held = new Set(observed.firewall.published.map(portText))
  const others = await otherPublications(host, observed.project)
  const rivals = wanted.map((port) => others.find((other) => collide(other, port)) ?? null)
  const unknown = wanted.filter((port, at) => rivals[at] === null && !held.has(portText(port)))
  const asked = unknown.map(({ published, ...port }) => ({ ...port, port: published }))
  const answers = await portHolders(host.kernel, asked)
  return wanted.flatMap((port, at) => {
    const rival = rivals[at] ?? null
    const holder =
      rival === null
        ? describeHolder(answers[unknown.indexOf(port)] ?? null)
        : `container ${rival.container} of project ${rival.project}`
    if (holder === null) return []
    const what = `publish port ${portText(port)} of \`${port.container}\``
    return new PakError('port_taken', `${what}: held by ${holder}`, {
      hint: 'publish another port, or stop what holds this one',
    })
  })
}

/** What pak, and what plugins, are to publish. */
const publications = ({ steps, observed }: Pick<PreflightRequest, 'steps' | 'observed'>) => [
  ...steps.flatMap((step) => (step.op === 'firewall.apply' ? step.args.published : [])),
  ...pluginPorts(steps, observed),
]

async function missingSctp(
  host: LinuxHost,
  request: Pick<PreflightRequest, 'steps' | 'observed'>,
): Promise<readonly PakError[]> {
  const wanted = publications(request).filter(({ protocol }) => protocol === 'sctp')
  if (wanted.length === 0 || (await hasSctp(host.kernel))) return []
  return wanted.map((port) => {
    const what = `publish port ${portText(port)} of \`${port.container}\``
    return new PakError('host', `${what}: this kernel has no SCTP`, { hint: 'its module is sctp' })
  })
}

const collide = (a: HostPort, b: HostPort): boolean =>
  a.published === b.published && a.protocol === b.protocol && hostsMeet(a.hostIp, b.hostIp)

interface OtherPublication extends HostPort {
  readonly project: string
  readonly container: string
}

/** Published ports of all other projects under this state root, from their records. */
async function otherPublications(
  host: LinuxHost,
  projectName: string,
): Promise<readonly OtherPublication[]> {
  const names = (await host.records.projectNames()).filter((name) => name !== projectName)
  const projects = await Promise.all(names.map((name) => host.records.of(name)))
  return projects.flatMap(({ name, containers }) =>
    [...containers.values()].flatMap((record) =>
      record.spec.ports.map(({ hostIp, published, protocol }) => ({
        project: name,
        container: record.name,
        hostIp,
        published,
        protocol,
      })),
    ),
  )
}

function describeHolder(holder: PortHolder | null): string | null {
  if (holder === null) return null
  return holder.pid === null
    ? 'a process that cannot be seen from here'
    : `${holder.command ?? 'a process'} (pid ${holder.pid})`
}

async function takenSubnets(
  host: LinuxHost,
  { steps, observed }: PreflightRequest,
): Promise<readonly PakError[]> {
  const wanted = steps.flatMap((step) =>
    step.op === 'network.create' &&
    step.args.network.subnet !== null &&
    isBridged(step.args.network)
      ? { name: step.args.network.name, subnet: step.args.network.subnet }
      : [],
  )
  const six = await takenSubnets6(host, { steps, observed })
  if (wanted.length === 0) return six
  // A bridge to be mended may have some of its routes, addresses of services among them.
  const exceptDevices = await ownBridges(host, observed.project)
  const routes = await hostRoutes(host.kernel, { exceptDevices })
  const four = wanted.flatMap(({ name, subnet }) => {
    const route = routes.find((taken) => overlaps(taken, subnet))
    return route === undefined ? [] : overlap(name, subnet, route)
  })
  return [...four, ...six]
}

const overlap = (name: string, subnet: string, route: string): PakError =>
  new PakError(
    'subnet_taken',
    `network \`${name}\`: subnet ${subnet} overlaps this host's route to ${route}`,
    { hint: 'leave `subnet` out and pak picks a free one' },
  )

async function takenSubnets6(
  host: LinuxHost,
  { steps, observed }: Pick<PreflightRequest, 'steps' | 'observed'>,
): Promise<readonly PakError[]> {
  const wanted = steps.flatMap((step) => {
    // A LAN is just where this host's routes lead, too.
    if (step.op !== 'network.create' || !isBridged(step.args.network)) return []
    const subnet = step.args.network.ipv6?.subnet
    return step.op === 'network.create' && subnet ? { name: step.args.network.name, subnet } : []
  })
  if (wanted.length === 0) return []
  const exceptDevices = await ownBridges(host, observed.project)
  const routes = (await hostRoutes6(host.kernel, { exceptDevices })).map((text) => ({
    text,
    block: block6(text),
  }))
  return wanted.flatMap(({ name, subnet }) => {
    const route = routes.find(({ block }) => meet6(block, block6(subnet)))
    return route === undefined ? [] : overlap(name, subnet, route.text)
  })
}

async function ownBridges(host: LinuxHost, projectName: string): Promise<readonly string[]> {
  const { networks } = await host.records.of(projectName)
  return [...networks.values()].flatMap(({ spec, bridge }) => (isBridged(spec) ? bridge : []))
}
