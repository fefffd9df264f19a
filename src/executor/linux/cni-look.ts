import { staysAlive } from '../../kernel/process.ts'
import { kindOf } from '../../model/network-kind.ts'
import type { Drift } from '../../model/observed.ts'
import { checkAttachment } from '../../network/cni/chain.ts'
import { parseResult } from '../../network/cni/result.ts'
import { hasAddress6, readNetwork } from '../../network/view.ts'
import { asked, type CniEnd, chainOf, cniEndsOf } from './cni.ts'
import { inTurn, lookKey } from './cni-state.ts'
import type { LinuxHost } from './host.ts'
import { networksFor } from './joined.ts'
import { mayDo } from './lost-mounts.ts'
import { keepNetns } from './netns.ts'
import type { CniRecord, ContainerRecord, ProjectRecords, Run } from './records.ts'

/** How old plugins' own word may be; what only reading shows is seen at every look. */
const CHECK_EVERY_MS = 30_000

/** Look at all that plugins made for a project's running containers. Costs nothing where there is none. */
export async function lookAtCni(
  host: LinuxHost,
  { name: project, containers }: ProjectRecords,
): Promise<void> {
  if (![...networksFor(host, project).values()].some(({ spec }) => kindOf(spec) === 'cni')) return
  for (const record of containers.values()) {
    const { run } = record
    if (run === null || !staysAlive(host.kernel, run)) continue
    for (const end of cniEndsOf(host, project, record))
      await lookAtOne(host, project, { record, run, end })
  }
}

/** What was found then. */
export const cniDrift = (host: LinuxHost, { id, cni = {} }: ContainerRecord): readonly Drift[] =>
  brokenNetworks(host, { id, cni }).map((network) => ({
    of: 'network',
    fact: `network ${network}: ${host.cni.looks.get(lookKey(id, network))?.fact}`,
  }))

/** Networks whose plugins have to do their work again. */
export function brokenNetworks(
  { cni }: LinuxHost,
  { id }: Pick<ContainerRecord, 'id' | 'cni'>,
): readonly string[] {
  return [...cni.looks].flatMap(([key, { fact }]) =>
    fact !== null && key.startsWith(`${id} `) ? key.slice(id.length + 1) : [],
  )
}

interface Looked {
  readonly record: ContainerRecord
  readonly run: Run
  readonly end: CniEnd
}

async function lookAtOne(host: LinuxHost, project: string, at: Looked): Promise<void> {
  const { record, end } = at
  const { name } = end.network.spec
  const key = lookKey(record.id, name)
  const before = host.cni.looks.get(key)
  const atMs = performance.now()
  const seen = visibleFact(host, at)
  const fresh = before !== undefined && atMs - before.atMs < CHECK_EVERY_MS
  if (seen === null && fresh && before.fact === null) return
  const attached = record.cni?.[name]
  const said =
    attached?.whole === true ? await askPlugins(host, project, { ...at, attached, seen }) : null
  host.cni.looks.set(key, { atMs, fact: said ?? seen })
}

/**
 * The first time after an ADD nothing has changed yet: which plugins complain all the same is written down.
 * Some of those in use do (portmap of IPv6 on a network without, bandwidth without rates), and a false
 * difference would take a container's connections away.
 */
async function askPlugins(
  host: LinuxHost,
  project: string,
  at: Looked & { readonly attached: CniRecord; readonly seen: string | null },
): Promise<string | null> {
  const { record, run, end, attached, seen } = at
  return inTurn(host, record.id, async () => {
    await keepNetns(host, { record, pid: run.pid })
    const attachment = asked(host, { project, record, attached })
    const { result, doubted } = attached
    const about = { result: result ?? {}, except: doubted ?? [] }
    const complaints = await checkAttachment(chainOf(host, end.network), attachment, about)
    if (doubted !== undefined || seen !== null) return complaints[0]?.words ?? null
    await doubt(host, project, { ...at, places: complaints.map((each) => each.at) })
    return null
  })
}

async function doubt(
  host: LinuxHost,
  project: string,
  { record, end, attached, places }: Looked & { attached: CniRecord; places: readonly number[] },
): Promise<void> {
  const now = host.records.find(record.id)?.record
  const { name } = end.network.spec
  if (now?.cni?.[name] !== attached) return
  const cni = { ...now.cni, [name]: { ...attached, doubted: places } }
  await host.records.putContainer(project, { ...now, cni })
}

/** What reads that never wait can tell. */
function visibleFact({ kernel }: LinuxHost, { record, run, end }: Looked): string | null {
  const attached = record.cni?.[end.network.spec.name]
  if (attached?.whole !== true) return 'its plugins have not done their work'
  const { ips, hostLinks } = parseResult(attached.result ?? {})
  const lost = hostLinks.find((link) => kernel.readNow(`/sys/class/net/${link}/flags`) === null)
  if (lost !== undefined) return `${lost} is gone`
  // Who may administer its own network does so with pak's blessing.
  const view = mayDo(record.spec, 'NET_ADMIN') ? null : readNetwork(kernel, run.pid)
  if (view === null) return null
  const gone = ips.find(({ address }) =>
    address.includes(':') ? !hasAddress6(kernel, run.pid, address) : !view.addresses.has(address),
  )
  return gone === undefined ? null : `${attached.ifname} lost its address ${gone.address}`
}
