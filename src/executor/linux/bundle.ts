import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { NamespaceMode } from '../../model/desired.ts'
import type { ImageConfig } from '../../model/image.ts'
import { hostsFile, type ResolvConfRequest, resolvConf, searchOf } from '../../network/names.ts'
import { findInit } from '../../runtime/init.ts'
import type { OciSpec } from '../../runtime/oci-types.ts'
import { ociSpec } from '../../runtime/spec.ts'
import { resolveUser } from '../../runtime/user.ts'
import { securityFragment } from '../../security/fragment.ts'
import { resolveMounts } from '../../storage/binds.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import type { ContainerRecord } from './records.ts'
import { currentRun } from './runs.ts'

/** Everything that the OCI runtime reads: config.json and the files that are bound into the container. */
export async function writeBundle(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
  amend: (config: OciSpec) => object = (config) => config,
): Promise<void> {
  const bundle = host.layout.bundle(record.id)
  const rootfs = host.layout.rootfs(record.id)
  const image = await imageConfig(host, record)
  const [security, user, mounts, namespaces, init] = await Promise.all([
    securityFragment(record.spec, {
      kernel: host.kernel,
      runtime: host.oci.name,
      host: host.security,
    }),
    resolveUser(host.kernel, {
      rootfs,
      user: record.spec.user ?? image?.user ?? null,
      groupAdd: record.spec.groupAdd,
    }),
    resolveMounts(host.kernel, {
      spec: record.spec,
      image,
      rootfs,
      volumePath: (volume: string) => host.layout.volume(projectName, volume),
      anonymousPath: (index) => join(host.layout.storage(record.id), 'volumes', String(index)),
    }),
    joinedNamespaces(host, projectName, record),
    record.spec.init ? findInit(host.kernel) : null,
  ])
  const files = await writeNameFiles(host, projectName, record)
  const config = ociSpec({
    spec: record.spec,
    image,
    id: record.id,
    name: record.name,
    cgroupsPath: host.layout.cgroup(projectName, record.name),
    cgroups: host.cgroups,
    rootfs,
    user,
    mounts: [...mounts, ...files],
    namespaces,
    security,
    init,
    annotations: { 'pak.project': projectName, 'pak.service': record.service },
  })
  await host.kernel.replaceFile(join(bundle, 'config.json'), JSON.stringify(amend(config)))
}

export async function imageConfig(
  host: LinuxHost,
  record: ContainerRecord,
): Promise<ImageConfig | null> {
  const { source } = record.spec
  if (source.kind === 'rootfs') return null
  return (await host.images.facts(record.imageDigest ?? source.reference)).config
}

/** Paths of namespaces that are another container's; the names follow the runtime-spec. */
async function joinedNamespaces(
  host: LinuxHost,
  projectName: string,
  { spec }: ContainerRecord,
): Promise<{ network: string | null; pid: string | null; ipc: string | null }> {
  const pathOf = async (mode: Mode, type: string) => {
    const lender = await lenderOf(host, projectName, mode)
    return lender === null ? null : `/proc/${await pidOf(host, lender)}/ns/${type}`
  }
  const [network, pid, ipc] = await Promise.all([
    pathOf(spec.networkMode, 'net'),
    pathOf(spec.pidMode, 'pid'),
    pathOf(spec.ipcMode, 'ipc'),
  ])
  return { network, pid, ipc }
}

type Mode = ContainerRecord['spec']['networkMode'] | NamespaceMode | null

/** Whose namespace a container lives in; `null`: its own, or the host's. Throws `conflict`: it is not there. */
async function lenderOf(
  host: LinuxHost,
  projectName: string,
  mode: Mode,
): Promise<ContainerRecord | null> {
  if (mode?.kind !== 'service' && mode?.kind !== 'container') return null
  const [named, projects] =
    mode.kind === 'service'
      ? [mode.service, [projectName]]
      : [mode.container, await host.records.projectNames()]
  for (const name of projects) {
    const { containers } = await host.records.of(name)
    const found =
      mode.kind === 'container'
        ? containers.get(named)
        : [...containers.values()].find(
            ({ service, replica }) => service === named && replica === 1,
          )
    if (found !== undefined) return found
  }
  throw new PakError('conflict', `share namespaces of \`${named}\`: it is not there`)
}

async function pidOf(host: LinuxHost, lender: ContainerRecord): Promise<number> {
  const run = await currentRun(host, lender)
  if (run !== null) return run.pid
  throw new PakError('conflict', `share namespaces of \`${lender.name}\`: it does not run`)
}

interface BoundFile {
  readonly type: 'bind'
  readonly source: string
  readonly destination: string
  readonly options: readonly string[]
}

/** hosts, resolv.conf and hostname, as the container sees them. */
async function writeNameFiles(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
): Promise<readonly BoundFile[]> {
  const networks = networksFor(host, projectName)
  const { spec } = record
  const hostname = spec.hostname ?? record.name
  const gateways = spec.networks.flatMap(({ network }) => networks.get(network)?.gateway ?? [])
  const gateway = gateways[0] ?? null
  const lender = await lenderOf(host, projectName, spec.networkMode)
  const lent = lender === null ? {} : await lentFiles(host, lender)
  const texts = {
    hosts: hostsFile({
      hostname,
      domainname: spec.domainname,
      addresses: [...Object.values(record.addresses), ...Object.values(record.addresses6 ?? {})],
      extraHosts: spec.extraHosts,
      gateway,
    }),
    'resolv.conf': resolvConf({
      network: await resolver(host, spec, gateway),
      servers: spec.dns,
      search: spec.dnsSearch,
      options: spec.dnsOptions,
    }),
    hostname: `${hostname}\n`,
    ...lent,
  }
  const bundle = host.layout.bundle(record.id)
  return Promise.all(
    Object.entries(texts).map(async ([file, text]): Promise<BoundFile> => {
      const source = join(bundle, file)
      await host.kernel.replaceFile(source, text, 0o644)
      return { type: 'bind', source, destination: `/etc/${file}`, options: ['rbind', 'rprivate'] }
    }),
  )
}

/** In one network there is one answer to who is called what: the one that its owner has. */
async function lentFiles(
  host: LinuxHost,
  lender: ContainerRecord,
): Promise<Readonly<Record<string, string>>> {
  const bundle = host.layout.bundle(lender.id)
  const files = await Promise.all(
    ['hosts', 'resolv.conf'].map(
      async (file) => [file, await host.kernel.readText(join(bundle, file))] as const,
    ),
  )
  return Object.fromEntries(files.flatMap(([file, text]) => (text === null ? [] : [[file, text]])))
}

async function resolver(
  host: LinuxHost,
  { networkMode }: ContainerRecord['spec'],
  gateway: string | null,
): Promise<ResolvConfRequest['network']> {
  const text = (await host.kernel.readText('/etc/resolv.conf')) ?? ''
  if (networkMode.kind === 'bridge' && gateway !== null)
    return { kind: 'bridge', gateway, search: searchOf(text) }
  return networkMode.kind === 'host' ? { kind: 'host', text } : { kind: 'none' }
}
