import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { NamespaceMode } from '../../model/desired.ts'
import { type CniDns, parseResult } from '../../network/cni/result.ts'
import { RESOLVER_ADDRESS } from '../../network/dns/inside.ts'
import { hostsFile, type ResolvConfRequest, resolvConf, searchOf } from '../../network/names.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { hostAddresses } from './presence.ts'
import type { ContainerRecord } from './records.ts'
import { isOutOfReach } from './resolvers.ts'

interface BoundFile {
  readonly type: 'bind'
  readonly source: string
  readonly destination: string
  readonly options: readonly string[]
}

/** hosts, resolv.conf and hostname, as the container sees them. */
export async function writeNameFiles(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
): Promise<readonly BoundFile[]> {
  const texts = await nameTexts(host, projectName, record)
  const bundle = host.layout.bundle(record.id)
  return Promise.all(
    Object.entries(texts).map(async ([file, text]): Promise<BoundFile> => {
      const source = join(bundle, file)
      await host.kernel.replaceFile(source, text, 0o644)
      return { type: 'bind', source, destination: `/etc/${file}`, options: ['rbind', 'rprivate'] }
    }),
  )
}

/** Their texts, as the record has its networks. */
async function nameTexts(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
): Promise<Readonly<Record<string, string>>> {
  const networks = networksFor(host, projectName)
  const { spec } = record
  const hostname = spec.hostname ?? record.name
  const [gateway = null] = hostAddresses(record, networks).values()
  const nameServer = isOutOfReach(record, networks) ? RESOLVER_ADDRESS : gateway
  const told = cniDns(record)
  const lender = await lenderOf(host, projectName, spec.networkMode)
  const lent = lender === null ? {} : await lentFiles(host, lender)
  return {
    hosts: hostsFile({
      hostname,
      domainname: spec.domainname,
      addresses: [...Object.values(record.addresses), ...Object.values(record.addresses6 ?? {})],
      extraHosts: spec.extraHosts,
      gateway,
    }),
    'resolv.conf': resolvConf({
      network: await resolver(host, spec, { nameServer, told }),
      servers: spec.dns,
      search: spec.dnsSearch.length > 0 ? spec.dnsSearch : told.search,
      options: spec.dnsOptions.length > 0 ? spec.dnsOptions : told.options,
    }),
    hostname: `${hostname}\n`,
    ...lent,
  }
}

/** The same files once more, where they are mounted: plugins give addresses only when the container is there. */
export async function rewriteNames(
  host: LinuxHost,
  project: string,
  record: ContainerRecord,
): Promise<void> {
  const texts = await nameTexts(host, project, record)
  const bundle = host.layout.bundle(record.id)
  for (const [file, text] of Object.entries(texts))
    await host.kernel.writeText(join(bundle, file), text)
}

/** What plugins say of names, of all networks. */
export function cniDns({ cni = {} }: ContainerRecord): CniDns {
  const said = Object.values(cni).map(({ result }) => parseResult(result ?? {}).dns)
  const all = (of: keyof CniDns) => [...new Set(said.flatMap((dns) => dns[of]))]
  return { nameservers: all('nameservers'), search: all('search'), options: all('options') }
}

const serverLine = (server: string): string => `nameserver ${server}\n`

/**
 * Say in a running container, and in those that share its interfaces, what its networks are now. What
 * somebody in there has written in place of it stays.
 */
export async function retellNames(
  host: LinuxHost,
  project: string,
  { before, after }: { readonly before: ContainerRecord; readonly after: ContainerRecord },
): Promise<void> {
  if (after.run === null) return
  const [was, is] = [await nameTexts(host, project, before), await nameTexts(host, project, after)]
  for (const { id } of [after, ...borrowersOf(host, project, after)])
    for (const file of ['hosts', 'resolv.conf']) {
      const path = join(host.layout.bundle(id), file)
      const [old = '', text = ''] = [was[file], is[file]]
      // In place: another file of that name would not be the one that is mounted.
      if (old !== text && (await host.kernel.readText(path)) === old)
        await host.kernel.writeText(path, text)
    }
}

const borrowersOf = (
  host: LinuxHost,
  project: string,
  { name, service, replica }: ContainerRecord,
): readonly ContainerRecord[] =>
  host.records.loaded().flatMap((records) =>
    [...records.containers.values()].filter(({ spec: { networkMode: mode }, run }) => {
      if (run === null) return false
      if (mode.kind === 'container') return mode.container === name
      return (
        mode.kind === 'service' &&
        records.name === project &&
        mode.service === service &&
        replica === 1
      )
    }),
  )

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
  { networkMode, networks }: ContainerRecord['spec'],
  { nameServer, told }: { readonly nameServer: string | null; readonly told: CniDns },
): Promise<ResolvConfRequest['network']> {
  const text = (await host.kernel.readText('/etc/resolv.conf')) ?? ''
  if (networkMode.kind === 'bridge' && nameServer !== null)
    return { kind: 'bridge', gateway: nameServer, search: searchOf(text) }
  // Only on networks of plugins, and none of them has this host: then it is as they say, or as here.
  if (networkMode.kind === 'bridge' && networks.length > 0)
    return { kind: 'host', text: told.nameservers.map(serverLine).join('') || text }
  return networkMode.kind === 'host' ? { kind: 'host', text } : { kind: 'none' }
}

export type Mode = ContainerRecord['spec']['networkMode'] | NamespaceMode | null

/** Whose namespace a container lives in; `null`: its own, or the host's. Throws `conflict`: it is not there. */
export async function lenderOf(
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
