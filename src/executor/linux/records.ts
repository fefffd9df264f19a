import { appendFileSync, closeSync, constants, openSync, rmSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { ByHand } from '../../model/attachments.ts'
import type { JsonObject } from '../../model/cni.ts'
import type { ContainerSpec, Dependency, Network, Volume } from '../../model/desired.ts'
import type { Limits } from '../../model/limits.ts'
import type { PlannedPolicies } from '../../model/plan.ts'
import type { Layout } from './layout.ts'

export interface ProjectRecord {
  readonly limits: Limits
  /** What the firewall was told last of who may talk to whom. */
  readonly policies?: PlannedPolicies
}

export interface NetworkRecord {
  readonly spec: Network
  /** Empty, as the next two are, where plugins make the network: they say so with each container. */
  readonly subnet: string
  readonly gateway: string
  /** On a LAN: the link that its containers hang on. */
  readonly bridge: string
  /** Of a LAN: that link is pak's own. */
  readonly made?: boolean
  /** Of one that plugins make. */
  readonly cni?: {
    /** What they call it. */
    readonly name: string
    /** Bridges that came with its containers, and that no plugin takes away again. */
    readonly bridges: readonly string[]
    /** Addresses of this host's own there, with their devices: where names are asked for. */
    readonly doors: readonly CniDoorRecord[]
  }
  /** `leases` as below, of IPv6 addresses. */
  readonly ipv6?: {
    readonly subnet: string
    readonly gateway: string
    readonly leases: Readonly<Record<string, string>>
  }
  /** Of one that spans machines: its devices, and what fits into a packet between them, in bytes. */
  readonly tunnel?: {
    readonly device: string
    readonly wireguard?: string
    readonly underlayMtu: number
  }
  /**
   * Container name -> address. Kept while the network lives, so that a recreate gets its own again.
   * Under `serviceLease`, a word that is no container's name, the address of a service. Those of other
   * projects have `<project>/` before them.
   */
  readonly leases: Readonly<Record<string, string>>
}

const SERVICE_LEASE = 'service:'
export const serviceLease = (service: string): string => `${SERVICE_LEASE}${service}`
export const isServiceLease = (holder: string): boolean => holder.startsWith(SERVICE_LEASE)

/** Service -> the address that it has in a network. */
export const serviceAddresses = ({
  leases,
}: Pick<NetworkRecord, 'leases'>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(leases)
      .filter(([holder]) => isServiceLease(holder))
      .map(([holder, address]) => [holder.slice(SERVICE_LEASE.length), address]),
  )

export interface VolumeRecord {
  readonly spec: Volume
}

export interface ContainerRecord extends ByHand {
  readonly name: string
  readonly id: string
  readonly service: string
  readonly replica: number
  readonly spec: ContainerSpec
  readonly dependsOn: readonly Dependency[]
  readonly imageDigest: string | null
  readonly createdAt: string
  readonly restartCount: number
  /** Network -> address, as leased when it was made. */
  readonly addresses: Readonly<Record<string, string>>
  readonly addresses6?: Readonly<Record<string, string>>
  /** Network -> what its plugins have done; written before they do it. */
  readonly cni?: Readonly<Record<string, CniRecord>>
  /** The current run; `null` when it has never run, or its end is settled in `exit`. */
  readonly run: Run | null
  readonly exit: Exit | null
  /** The current run was paused, and not by others. */
  readonly paused?: boolean
}

/** What it takes to undo what plugins have done. */
export interface CniRecord {
  readonly ifname: string
  /** What they were told of the container, by capability. */
  readonly capabilities: JsonObject
  /** Of the last plugin that has answered; `null`: none yet. */
  readonly result: JsonObject | null
  /** All of them have. */
  readonly whole: boolean
  /** Places in the chain of plugins that have complained at once, of what was just made: they are not believed. */
  readonly doubted?: readonly number[]
  /** The one of the network's that is the container's gateway. */
  readonly door: CniDoorRecord | null
}

export interface CniDoorRecord {
  readonly device: string
  readonly address: string
}

export interface Run {
  readonly pid: number
  /** Field 22 of proc_pid_stat(5): together with the pid it names one process for good. */
  readonly startTicks: string
  readonly startedAt: string
  /** Its `post_start` hooks are not done yet. */
  readonly hooksDue?: boolean
}

export interface Exit {
  readonly exitCode: number
  readonly oomKilled: boolean
  readonly startedAt: string
  readonly finishedAt: string
  readonly byUser: boolean
  readonly restartAt: string | null
}

/** Everything known of one project, as on disk. */
export interface ProjectRecords {
  readonly name: string
  project: ProjectRecord | null
  readonly networks: Map<string, NetworkRecord>
  readonly volumes: Map<string, VolumeRecord>
  readonly containers: Map<string, ContainerRecord>
}

/** Throws `conflict` when the container went after the plan was made. */
export function containerRecord(
  { containers }: ProjectRecords,
  operation: string,
  name: string,
): ContainerRecord {
  const record = containers.get(name)
  if (record !== undefined) return record
  throw new PakError('conflict', `${operation} container \`${name}\`: it is gone`)
}

type Kind = 'networks' | 'volumes' | 'containers'

/** Not O_CREAT: lines of changes alone are no record. */
const APPEND = constants.O_WRONLY | constants.O_APPEND
/** Lines of a record before it is written anew. */
const MOST_LINES = 32

/**
 * pak's own memory of what it made, one small file a thing, mode 0600: a line of JSON, and below it a line
 * for each later change with the keys that it changed. A new file for every change would cost more than the
 * change: ext4 passes over every inode freed in the last minutes to find a free one. The agent is the only
 * writer, so that what has been read once stays true in memory.
 */
export class RecordStore {
  readonly #kernel: Kernel
  readonly #layout: Layout
  readonly #projects = new Map<string, Promise<ProjectRecords>>()
  readonly #loaded = new Map<string, ProjectRecords>()
  /** Ends of what is being written, by path: what several change is written one after the other. */
  readonly #turns = new Map<string, Promise<void>>()
  /** Files that this process has written, with their lines: the end of any other may be torn. */
  readonly #lines = new Map<string, number>()
  #version = 0

  constructor(kernel: Kernel, layout: Layout) {
    this.#kernel = kernel
    this.#layout = layout
  }

  /** Projects that have a record, sorted. */
  async projectNames(): Promise<readonly string[]> {
    const names = await this.#kernel.list(this.#layout.projects)
    const known = await Promise.all(
      names.map((name) => this.#kernel.exists(join(this.#layout.project(name), 'project.json'))),
    )
    return names.filter((_, index) => known[index])
  }

  of(projectName: string): Promise<ProjectRecords> {
    const cached = this.#projects.get(projectName)
    if (cached !== undefined) return cached
    const loading = this.#load(projectName)
    this.#projects.set(projectName, loading)
    loading.catch(() => this.#projects.delete(projectName))
    return loading
  }

  /** The projects read so far, without waiting: for answers that must not block, as DNS. */
  loaded(): readonly ProjectRecords[] {
    return [...this.#loaded.values()]
  }

  /** What has been read of a project, without waiting; `null`: nothing. */
  peek(projectName: string): ProjectRecords | null {
    return this.#loaded.get(projectName) ?? null
  }

  /** Grows with every change: what was made from the records is good as long as it stays. */
  get version(): number {
    return this.#version
  }

  /** A container by its id, among the projects read so far. */
  find(containerId: string): { readonly project: string; readonly record: ContainerRecord } | null {
    for (const { name, containers } of this.#loaded.values())
      for (const record of containers.values())
        if (record.id === containerId) return { project: name, record }
    return null
  }

  async putProject(projectName: string, record: ProjectRecord): Promise<void> {
    const records = await this.of(projectName)
    await this.#write(join(this.#layout.project(projectName), 'project.json'), record)
    records.project = record
  }

  async putNetwork(projectName: string, record: NetworkRecord): Promise<void> {
    // Other projects lease here, too: what they read must be what was put last.
    this.#loaded.get(projectName)?.networks.set(record.spec.name, record)
    this.#version += 1
    const known = this.#loaded.get(projectName)
    const { networks } = known ?? (await this.of(projectName))
    if (known === undefined) networks.set(record.spec.name, record)
    const path = this.#path(projectName, 'networks', record.spec.name)
    await this.#inTurn(path, async () => {
      const now = networks.get(record.spec.name)
      if (now !== undefined) await this.#write(path, now)
    })
  }

  async putVolume(projectName: string, record: VolumeRecord): Promise<void> {
    const records = await this.of(projectName)
    await this.#write(this.#path(projectName, 'volumes', record.spec.name), record)
    records.volumes.set(record.spec.name, record)
  }

  async putContainer(projectName: string, record: ContainerRecord): Promise<void> {
    const records = await this.of(projectName)
    const before = records.containers.get(record.name)
    const path = this.#path(projectName, 'containers', record.name)
    records.containers.set(record.name, record)
    const lines = before === undefined ? 0 : (this.#lines.get(path) ?? 0)
    const isShort = lines > 0 && lines < MOST_LINES
    // Whatever stops a line half-way: the next change writes the file anew.
    this.#lines.delete(path)
    if (before !== undefined && isShort) this.#append(path, changesOf(before, record))
    else await this.#write(path, record)
    this.#lines.set(path, isShort ? lines + 1 : 1)
  }

  async drop(projectName: string, kind: Kind, name: string): Promise<void> {
    const records = await this.of(projectName)
    const path = this.#path(projectName, kind, name)
    await this.#turns.get(path)
    rmSync(path, { force: true })
    this.#lines.delete(path)
    records[kind].delete(name)
    this.#version += 1
  }

  /** Forget the project; its volumes' records stay where there are any. */
  async dropProject(projectName: string): Promise<void> {
    const folder = this.#layout.project(projectName)
    const entries = (await readdir(folder).catch(() => [])).filter((entry) => entry !== 'volumes')
    await Promise.all(
      entries.map((entry) => rm(join(folder, entry), { recursive: true, force: true })),
    )
    await this.#kernel.removeFolder(join(folder, 'volumes'))
    await this.#kernel.removeFolder(folder)
    this.#projects.delete(projectName)
    this.#loaded.delete(projectName)
    for (const path of this.#lines.keys())
      if (path.startsWith(`${folder}/`)) this.#lines.delete(path)
    this.#version += 1
  }

  async #inTurn(path: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(path) ?? Promise.resolve()).then(work)
    const end = turn.catch(() => {})
    this.#turns.set(path, end)
    try {
      await turn
    } finally {
      if (this.#turns.get(path) === end) this.#turns.delete(path)
    }
  }

  async #load(name: string): Promise<ProjectRecords> {
    const folder = this.#layout.project(name)
    const [project, networks, volumes, containers] = await Promise.all([
      readJson<ProjectRecord>(join(folder, 'project.json')),
      this.#readAll<NetworkRecord>(name, 'networks'),
      this.#readAll<VolumeRecord>(name, 'volumes'),
      this.#readAll<ContainerRecord>(name, 'containers'),
    ])
    const records = { name, project, networks, volumes, containers }
    this.#loaded.set(name, records)
    this.#version += 1
    return records
  }

  async #readAll<T>(projectName: string, kind: Kind): Promise<Map<string, T>> {
    const suffix = '.json'
    const files = (await this.#kernel.list(join(this.#layout.project(projectName), kind))).filter(
      (file) => file.endsWith(suffix),
    )
    const names = files.map((file) => file.slice(0, -suffix.length))
    const read = await Promise.all(
      names.map((name) => readJson<T>(this.#path(projectName, kind, name))),
    )
    return new Map(
      read.flatMap((record, index) => {
        const name = names[index]
        return record === null || name === undefined ? [] : [[name, record] as const]
      }),
    )
  }

  #append(path: string, changed: object): void {
    this.#version += 1
    const fd = openSync(path, APPEND)
    try {
      appendFileSync(fd, `${JSON.stringify(changed)}\n`)
    } finally {
      closeSync(fd)
    }
  }

  async #write(path: string, record: object): Promise<void> {
    this.#version += 1
    const text = `${JSON.stringify(record)}\n`
    try {
      await this.#kernel.replaceFile(path, text)
    } catch (error) {
      // The folder is made on the first write only: fifty containers should not cost fifty mkdirs.
      if (!(error instanceof PakError && error.code === 'storage')) throw error
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await this.#kernel.replaceFile(path, text)
    }
  }

  #path(projectName: string, kind: Kind, name: string): string {
    return join(this.#layout.project(projectName), kind, `${name}.json`)
  }
}

/** Keys that are another object or value than before: records are never changed in place. */
const changesOf = (before: ContainerRecord, after: ContainerRecord): object =>
  Object.fromEntries(
    Object.entries(after).filter(([key, value]) => before[key as keyof ContainerRecord] !== value),
  )

/** A last line without an end is a change that never came about. */
function parseRecord<T>(text: string): T {
  const [whole = '', ...changes] = text.split('\n')
  return Object.assign(
    JSON.parse(whole) as object,
    ...changes.slice(0, -1).map((line) => JSON.parse(line) as object),
  ) as T
}

/** Only pak writes these files: what does not parse is damage, and said so. */
async function readJson<T>(path: string): Promise<T | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
  try {
    return parseRecord<T>(text)
  } catch (error) {
    throw new PakError('storage', `read record \`${path}\`: it is damaged`, {
      hint: 'remove the file; the next pak up makes what it described anew',
      cause: error,
    })
  }
}
