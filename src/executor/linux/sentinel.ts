import type { HostChange } from '../executor.ts'
import { lookAtCni } from './cni-look.ts'
import { type Differences, differences } from './drift.ts'
import type { LinuxHost } from './host.ts'
import type { ProjectRecords } from './records.ts'
import { networksKey } from './soundness.ts'
import { lookAtTunnels } from './tunnels.ts'
import { watchLimits } from './watch-limits.ts'
import { watchTable } from './watch-table.ts'

/** Bound of what may stay unseen: `differences` is only reads that never wait. */
const LOOK_EVERY_MS = 2_300
/** How often the same difference is told in a row: then somebody insists, and the loop's own timer will do. */
const INSISTENCE = 6
/** A transaction is many events. */
const SETTLE_MS = 100

/**
 * Notices what others do to what pak made, and says which project to look at; what to do is decided
 * there. Limits and the nft table announce themselves, the rest is looked at with a timer.
 */
export function startSentinel(
  host: LinuxHost,
  tell: (change: HostChange) => void,
  onError: (error: unknown) => void,
): Disposable {
  const told = new Map<string, { readonly text: string; readonly times: number }>()
  const limits = watchLimits(host, (project) =>
    tell({ project, cause: 'limits written', kind: 'echo' }),
  )
  const look = () => {
    const known = host.records.loaded().filter(({ project }) => project !== null)
    limits.follow(known)
    forgetOthers(host, known)
    for (const records of known) {
      const found = differences(host, records, host.soundness)
      const text = textOf(found)
      const before = told.get(records.name)
      const times = before?.text === text ? before.times + 1 : 1
      told.set(records.name, { text, times })
      if (text !== '' && times <= INSISTENCE)
        tell({
          project: records.name,
          cause: text,
          kind: found.networks.size + found.containers.size > 0 ? 'form' : 'status',
        })
    }
  }
  const askPlugins = pluginLooks(host, onError)
  const timer = setInterval(() => {
    lookAtTunnels(host).then(() => guarded(look, onError), onError)
    askPlugins()
  }, LOOK_EVERY_MS)
  let settling: NodeJS.Timeout | null = null
  let othersChanged = false
  const settled = () => {
    settling = null
    if (othersChanged) host.others.forget()
    othersChanged = false
    for (const { name, project, networks, containers } of host.records.loaded())
      if (project !== null && networks.size + containers.size > 0)
        tell({ project: name, cause: 'firewall changed', kind: 'echo' })
  }
  let learning: NodeJS.Timeout | null = null
  const learn = () => {
    learning ??= setTimeout(() => {
      learning = null
      host.seenTable.learn().catch(onError)
    }, SETTLE_MS)
  }
  const table = watchTable((events) => {
    const rest = events?.filter((event) => !event.includes(host.layout.table))
    const isOwn = rest === undefined || rest.length < (events?.length ?? 0)
    if (isOwn) host.seenTable.forget()
    const hasOthers =
      host.others.known && (rest?.some((event) => /forward|input/i.test(event)) ?? true)
    if (!hasOthers && !isOwn) return
    othersChanged ||= hasOthers
    settling ??= setTimeout(settled, SETTLE_MS)
  }, learn)
  timer.unref()
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
      for (const each of [settling, learning]) if (each !== null) clearTimeout(each)
      limits[Symbol.dispose]()
      table[Symbol.dispose]()
    },
  }
}

/** Plugins take their time, or hang: what they say is seen at a later look, and nothing waits for it. */
function pluginLooks(host: LinuxHost, onError: (error: unknown) => void): () => void {
  let busy = false
  return () => {
    if (busy) return
    busy = true
    Promise.all(host.records.loaded().map((records) => lookAtCni(host, records)))
      .catch(onError)
      .finally(() => {
        busy = false
      })
  }
}

/** A look that fails is no reason to stop looking, nor to end the agent. */
function guarded(look: () => void, onError: (error: unknown) => void): void {
  try {
    look()
  } catch (error) {
    onError(error)
  }
}

function forgetOthers(
  { mountBaselines, soundness }: LinuxHost,
  known: readonly ProjectRecords[],
): void {
  const ids = known.flatMap(({ containers }) => [...containers.values()].map(({ id }) => id))
  const kept = new Set([...ids, ...known.map(({ name }) => networksKey(name))])
  for (const id of mountBaselines.keys()) if (!kept.has(id)) mountBaselines.delete(id)
  soundness.keep(kept)
}

/** Of an end its monitor tells sooner, if it can. */
const textOf = ({ networks, containers, ended }: Differences): string =>
  [
    ...networks.values(),
    ...[...containers].map(
      ([name, drift]) => `${name}: ${drift.map(({ fact }) => fact).join('; ')}`,
    ),
    ...ended.map((name) => `container ${name} ended`),
  ].join('; ')
