import type { KeptFile, Kernel } from '../../kernel/kernel.ts'
import { attachmentsOf } from '../../model/attachments.ts'
import { bridgeFiles, portFiles } from '../../network/view.ts'
import { monitorEvidence } from '../../runtime/monitor-process.ts'
import type { LinuxHost } from './host.ts'
import { hostEnd } from './host-ends.ts'
import { mayDo } from './lost-mounts.ts'
import { monitorOf } from './monitors.ts'
import type { ContainerRecord, NetworkRecord, Run } from './records.ts'

interface Host {
  readonly kernel: Pick<Kernel, 'keepFile'>
}

/** What may be as it should be, and by which files that can be told without a look in full. */
export interface Subject {
  /** Not another's. */
  readonly key: string
  /** With another record it is another thing, whatever its files say. */
  readonly records: readonly object[]
  /** `null`: these files do not tell enough. */
  readonly places: () => Places | null
}

interface Places {
  readonly ends: readonly End[]
  readonly files: readonly string[]
}

interface End {
  readonly network: string
  readonly name: string
}

interface Evidence {
  readonly records: readonly object[]
  readonly ends: readonly End[]
  readonly files: readonly KeptFile[]
}

/**
 * What small files said when a look in full found nothing wrong. While they say the same, and the records are
 * the same, nothing has to be looked at: a container's routes go with its addresses. What leaves no trace
 * there, one address in the place of another, is for the next pass to see, which looks in full.
 */
export class Soundness {
  readonly #known = new Map<string, Evidence>()

  /**
   * What `look` finds wrong, which is not asked while nothing new is said; `null` from it: it cannot tell.
   * `ports`: see `Ground`.
   */
  check<T>(
    { kernel }: Host,
    subject: Subject,
    ports: Ports,
    look: () => readonly T[] | null,
  ): readonly T[] {
    if (this.#isSame(subject, ports)) return []
    this.forget(subject.key)
    // Taken before the look, so that nothing that changes during it is taken for sound.
    const places = subject.places()
    const files: KeptFile[] = []
    let isSound = false
    try {
      for (const path of places?.files ?? []) files.push(kernel.keepFile(path))
      const found = look()
      isSound = places !== null && hangs(places.ends, ports) && found?.length === 0
      if (isSound && places !== null)
        this.#known.set(subject.key, { records: subject.records, ends: places.ends, files })
      return found ?? []
    } finally {
      if (!isSound) for (const file of files) file.close()
    }
  }

  /** To be looked at in full: what is kept of a container would hold its namespaces after its end. */
  forget(key: string): void {
    for (const file of this.#known.get(key)?.files ?? []) file.close()
    this.#known.delete(key)
  }

  /** Only these are still there. */
  keep(keys: ReadonlySet<string>): void {
    for (const key of [...this.#known.keys()]) if (!keys.has(key)) this.forget(key)
  }

  #isSame({ key, records }: Subject, ports: Ports): boolean {
    const known = this.#known.get(key)
    return (
      known !== undefined &&
      known.records.length === records.length &&
      known.records.every((record, index) => record === records[index]) &&
      hangs(known.ends, ports) &&
      known.files.every((file) => file.saysStill())
    )
  }
}

type Ports = ReadonlyMap<string, ReadonlySet<string>>

/** Whether each end is where it belongs. */
const hangs = (ends: readonly End[], ports: Ports): boolean =>
  ends.every(({ network, name }) => ports.get(network)?.has(name) === true)

type SubjectHost = Pick<LinuxHost, 'layout'> & { readonly kernel: Pick<Kernel, 'readNow'> }

/** A running container. */
export const containerSubject = (
  host: SubjectHost,
  { record, run }: { readonly record: ContainerRecord; readonly run: Run },
): Subject => ({
  key: record.id,
  records: [record],
  // A frozen one can be thawed without a trace in these files.
  places: () => (record.paused === true ? null : placesOf(host, record, run.pid)),
})

/** proc_pid_mountstats(5) has each mount, in half of the time that `mountinfo` takes. */
function placesOf(host: SubjectHost, record: ContainerRecord, pid: number): Places {
  const { spec, addresses6 = {} } = record
  const isWired = spec.networkMode.kind === 'bridge'
  const attachments = isWired ? attachmentsOf(spec, record) : []
  // Files do not tell of all that makes an interface that does not hang on a bridge of pak's: see `hangs`.
  const ends = attachments.map(({ network }) => ({
    network,
    name: hostEnd(host, record, { network, pid }),
  }))
  const monitor = monitorOf(host, record)
  const own = [
    'cgroup',
    ...(mayDo(spec, 'SYS_ADMIN') ? [] : ['mountstats']),
    ...(isWired && !mayDo(spec, 'NET_ADMIN') ? ['net/route'] : []),
    ...(isWired && Object.keys(addresses6).length > 0 ? ['net/if_inet6', 'net/ipv6_route'] : []),
  ]
  const files = [
    ...own.map((name) => `/proc/${pid}/${name}`),
    ...(monitor === null ? [] : [monitorEvidence(monitor)]),
    ...ends.flatMap(({ name }) => portFiles(name)),
  ]
  return { ends, files }
}

/** Networks that a project is on, its own and others'. */
export const networksSubject = (project: string, records: readonly NetworkRecord[]): Subject => ({
  key: networksKey(project),
  records,
  places: () => (records.every(isPlain) ? { ends: [], files: bridgeFiles(records) } : null),
})

/** No container's id, which is 64 hexadecimal digits. */
export const networksKey = (project: string): string => `networks of ${project}`

/** Of tunnels and addresses of IPv6 more has to be asked. */
const isPlain = ({ spec, ipv6 }: NetworkRecord): boolean =>
  spec.driver === 'bridge' && ipv6 === undefined
