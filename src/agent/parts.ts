import type { Readable, Writable } from 'node:stream'
import type { ExecInvocation, Executor } from '../executor/executor.ts'
import type { EndedRun, RestartVerdict } from '../executor/linux/settle.ts'
import type { HealthTest, Volume } from '../model/desired.ts'
import type { ImageRecord } from '../model/image.ts'
import type { Place } from '../model/shared.ts'
import type { Health } from '../model/status.ts'
import type { CopyPlace, LaunchEnd, LaunchRequest, VolumeRow } from './wire.ts'

/** Which agent this is. Two of them with different roots never meet. */
export interface Roots {
  /** State that outlives a reboot. Absolute. */
  readonly root: string
  /** Sockets, mounts, pids: gone with a reboot. Absolute. */
  readonly runRoot: string
  /** `crun`, `runc` or a path. */
  readonly runtime: string
}

/** What the agent tells the parts that are made for it. */
export interface AgentContext extends Roots {
  /** Where pak's DNS listens on 0.0.0.0, udp and tcp. */
  readonly dnsPort: number
  /** Health of one run of a container; `null` where no check is declared, or none has been looked for. */
  readonly healthOf: (containerId: string, startedAt: string) => Health
}

/** Everything that the agent is joined with. Injected: a test gives a host in memory. */
export interface AgentParts {
  readonly executor: Executor
  /**
   * Write down every run that ended by itself since the last look, with the verdict on it, and free
   * what it held. Returns what was found.
   */
  readonly settle: (project: string, verdict: RestartVerdict) => Promise<readonly EndedRun[]>
  readonly probe: Probe
  readonly volumes: VolumeStore
  readonly images: ImageStorePart
  readonly oneOffs: OneOffs
  readonly files: ContainerFiles
  /** Undo what was done to the host for containers, so that nothing is left when the last one went. */
  readonly releaseHost: () => Promise<void>
  /** This machine's public key of WireGuard, made when there is none. */
  readonly publicKey: () => Promise<string>
  /** Takes over the sockets; `null`: this host has no use for names (memory). */
  readonly startDns: ((sockets: DnsSockets, signal: AbortSignal) => Promise<void>) | null
}

/** Files of containers, running or not, as tar streams. */
export interface ContainerFiles {
  read(at: CopyPlace, to: Writable): Promise<void>
  write(at: CopyPlace, from: Readable): Promise<void>
}

/** Containers whose stdio is their caller's, and not the monitor's. */
export interface OneOffs {
  launch(request: LaunchRequest): Promise<ExecInvocation>
  /** Rejects with why it could not be started, where it could not. */
  end(end: LaunchEnd): Promise<void>
}

export interface DnsSockets {
  readonly udpFd: number
  readonly tcpFd: number
}

/**
 * Ask a container once how it is. A command is killed with all it started when its time is up or the
 * signal fires. Rejects then; any exit status resolves, and what is asked over a network has 0 or 1.
 */
export type Probe = (request: ProbeRequest) => Promise<ProbeResult>

export interface ProbeRequest {
  readonly project: string
  readonly container: string
  readonly test: HealthTest
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export interface ProbeResult {
  readonly exitCode: number
  readonly output: string
}

export interface VolumeStore {
  list(): Promise<readonly VolumeRow[]>
  /** Of no project. Refuses with `conflict` when there is one of that name. */
  create(volume: Volume): Promise<void>
  /** Refuses with `conflict` while a container uses it. */
  remove(place: Place): Promise<void>
}

export interface ImageStorePart {
  list(): Promise<readonly ImageRecord[]>
  /** A path on this host or the archive itself. */
  load(source: ArchiveSource): Promise<readonly ImageRecord[]>
  import(source: ArchiveSource, reference: string): Promise<ImageRecord>
  remove(reference: string): Promise<void>
}

export type ArchiveSource = string | Readable
