import type { Kernel } from '../../kernel/kernel.ts'
import { attachmentsOf } from '../../model/attachments.ts'
import type { LinuxHost } from './host.ts'
import { hostEnd } from './host-ends.ts'
import { mayDo } from './lost-mounts.ts'
import type { ContainerRecord, Run } from './records.ts'

interface Host extends Pick<LinuxHost, 'layout'> {
  readonly kernel: Pick<Kernel, 'readNow' | 'saysStill'>
}

interface Running {
  readonly record: ContainerRecord
  readonly run: Run
}

/** What small files say of a running container. */
export interface Evidence {
  readonly record: ContainerRecord
  readonly places: Places
  /** Of each file; `null`: it is not there. */
  readonly texts: readonly (Uint8Array | null)[]
}

interface Places {
  readonly files: readonly string[]
  readonly ends: readonly { readonly network: string; readonly name: string }[]
}

/**
 * What was said of containers when a look in full found nothing wrong. While the same is said, and the
 * record is the same, nothing has to be looked at: a container's routes go with its addresses. What leaves
 * no trace here, one address in the place of another, is for the next pass to see, which looks in full.
 */
export class Soundness {
  readonly #known = new Map<string, Evidence>()

  /** Whether all still says what it said then. `ports`: see `Ground`. */
  isKnown({ kernel }: Host, record: ContainerRecord, ports: Ports): boolean {
    const known = this.#known.get(record.id)
    return (
      known?.record === record &&
      hangs(known.places, ports) &&
      known.places.files.every((path, index) => kernel.saysStill(path, known.texts[index] ?? null))
    )
  }

  /**
   * Taken before a look in full, so that nothing that changes during it is taken for sound. `null`: these files do not
   * tell enough.
   */
  evidence(host: Host, { record, run }: Running, ports: Ports): Evidence | null {
    // A frozen one can be thawed without a trace in these files.
    if (record.paused === true) return null
    const places = placesOf(host, { record, run })
    // Nor do they tell of all that makes an interface that does not hang on a bridge of pak's.
    if (!hangs(places, ports)) return null
    const texts = places.files.map((path) => {
      const text = host.kernel.readNow(path)
      return text === null ? null : Buffer.from(text)
    })
    return { record, places, texts }
  }

  remember(evidence: Evidence): void {
    this.#known.set(evidence.record.id, evidence)
  }

  /** Only these containers are still there. */
  keep(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id)
  }
}

type Ports = ReadonlyMap<string, ReadonlySet<string>>

/** Whether each end is where it belongs. */
const hangs = ({ ends }: Places, ports: Ports): boolean =>
  ends.every(({ network, name }) => ports.get(network)?.has(name) === true)

/** proc_pid_mountstats(5) has each mount, in half of the time that `mountinfo` takes. */
function placesOf(host: Host, { record, run: { pid } }: Running): Places {
  const { spec, addresses6 = {} } = record
  const isWired = spec.networkMode.kind === 'bridge'
  const own = [
    'cgroup',
    ...(mayDo(spec, 'SYS_ADMIN') ? [] : ['mountstats']),
    ...(isWired && !mayDo(spec, 'NET_ADMIN') ? ['net/route'] : []),
    ...(isWired && Object.keys(addresses6).length > 0 ? ['net/if_inet6'] : []),
  ]
  const attachments = isWired ? attachmentsOf(spec, record) : []
  const ends = attachments.map(({ network }) => ({
    network,
    name: hostEnd(host, record, { network, pid }),
  }))
  const files = [
    ...own.map((name) => `/proc/${pid}/${name}`),
    ...ends.map(({ name }) => `/sys/class/net/${name}/flags`),
  ]
  return { files, ends }
}
