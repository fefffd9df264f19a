import { listenInNetns } from '../../kernel/netns.ts'
import { nftApply } from '../../kernel/nft.ts'
import { attachmentsOf } from '../../model/attachments.ts'
import { isLan } from '../../model/network-kind.ts'
import { RESOLVER_ADDRESS, redirectScript } from '../../network/dns/inside.ts'
import { type NameService, serveNames } from '../../network/dns/server.ts'
import { askerOf } from '../../network/dns/zone.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { hostAddresses } from './presence.ts'
import type { ContainerRecord, NetworkRecord } from './records.ts'

interface Opened {
  readonly pid: number
  readonly stop: AbortController
}

/**
 * pak's name server for containers that do not reach this host: it listens in their network namespaces,
 * where nobody else can ask it. What it has opened goes with the agent; the next one opens it again.
 */
export class Resolvers {
  readonly #opened = new Map<string, Opened>()
  #service: NameService | null = null

  /** From now on names are served, until the service's signal. */
  begin(service: NameService): void {
    this.#service = service
    const end = () => this.close([...this.#opened.keys()])
    service.signal.addEventListener('abort', end, { once: true })
  }

  /** True, too, where no names are served at all. */
  isOpen(containerId: string, pid: number): boolean {
    return this.#service === null || this.#opened.get(containerId)?.pid === pid
  }

  /** Throws `network`. */
  async open(
    host: LinuxHost,
    at: { readonly project: string; readonly record: ContainerRecord; readonly pid: number },
  ): Promise<void> {
    const { project, record, pid } = at
    if (this.#service === null) return
    const held = this.#opened.get(record.id)
    if (held?.pid === pid) return
    this.close([record.id])
    const { port, ...sockets } = await listenInNetns(pid, RESOLVER_ADDRESS)
    const stop = new AbortController()
    this.#opened.set(record.id, { pid, stop })
    const asker = askerOf(project, record.name)
    serveNames(sockets, { ...this.#service, signal: stop.signal, asker })
    try {
      await nftApply(host.kernel, redirectScript(port), { netnsPid: pid })
    } catch (error) {
      this.close([record.id])
      throw error
    }
  }

  close(containerIds: readonly string[]): void {
    for (const id of containerIds) {
      this.#opened.get(id)?.stop.abort()
      this.#opened.delete(id)
    }
  }
}

/**
 * Whether a container on a LAN has this host, and its name server, on none of its networks. Who is only on
 * networks of plugins asks whom they say.
 */
export function isOutOfReach(
  record: Pick<ContainerRecord, 'spec' | 'connected' | 'disconnected' | 'cni'>,
  networks: ReadonlyMap<string, NetworkRecord>,
): boolean {
  if (record.spec.networkMode.kind !== 'bridge') return false
  const on = attachmentsOf(record.spec, record).flatMap(
    ({ network }) => networks.get(network) ?? [],
  )
  return on.some(({ spec }) => isLan(spec)) && hostAddresses(record, networks).size === 0
}

/** A name server for who needs one; there already is success. Throws `network`. */
export async function openResolver(
  host: LinuxHost,
  project: string,
  at: { readonly record: ContainerRecord; readonly pid: number },
): Promise<void> {
  // What plugins gave it may have been written down since it was read.
  const record = host.records.find(at.record.id)?.record ?? at.record
  if (isOutOfReach(record, networksFor(host, project)))
    await host.resolvers.open(host, { project, record, pid: at.pid })
}

/** For everybody who runs: an agent that has just begun. */
export async function openResolvers(
  host: LinuxHost,
  onError: (error: unknown) => void,
): Promise<void> {
  await Promise.all(
    host.records.loaded().flatMap(({ name, containers }) =>
      [...containers.values()].map(async (record) => {
        const { run } = record
        if (run === null) return
        await openResolver(host, name, { record, pid: run.pid }).catch(onError)
      }),
    ),
  )
}
