import { type FSWatcher, watch } from 'node:fs'
import { basename, dirname } from 'node:path'
import { PakError } from '../../errors.ts'
import { FILE_LOGGING } from '../../model/logging.ts'
import type { MonitorLog } from '../../runtime/monitor.ts'
import { isThere } from '../../telemetry/generations.ts'
import { advanceLog, beginLog, removeLog, rotatedLog } from '../../telemetry/rotation.ts'
import { LogForwarders } from './forwarding.ts'
import type { Layout } from './layout.ts'
import type { ContainerRecord, RecordStore } from './records.ts'

/** All projects' logs, when the agent starts. Where a record cannot be read, the first pass says so. */
export async function keepLogs(host: {
  readonly records: RecordStore
  readonly logs: LogKeeper
}): Promise<void> {
  for (const project of await host.records.projectNames())
    try {
      await host.logs.keep(project)
    } catch (error) {
      if (!(error instanceof PakError)) throw error
    }
}

/**
 * Keeps the last files of every container's log, and has their lines sent where `logging` says so. Monitors rotate by themselves; each rotation renames in
 * the folder of the project's logs, where nothing else happens: one inotify watch a project, which
 * sleeps through all that is written.
 */
export class LogKeeper implements Disposable {
  readonly #layout: Layout
  readonly #records: RecordStore
  readonly #forwarders = new LogForwarders()
  readonly #watchers = new Map<string, FSWatcher>()
  /** Logs that are being looked at; true: something happened since. */
  readonly #busy = new Map<string, boolean>()

  constructor(layout: Layout, records: RecordStore) {
    this.#layout = layout
    this.#records = records
  }

  /** Take up a project's logs, and what was missed of them. */
  async keep(project: string): Promise<void> {
    this.#watch(project)
    for (const record of (await this.#records.of(project)).containers.values()) {
      this.#look(project, record.name)
      const path = this.#layout.log(project, record.name)
      // Of one that has never run, and of one on somebody's terminal, there is none.
      if (isThere(path)) this.#forwarders.follow(project, record, path)
    }
  }

  /** Before the monitor of a container starts. Null: nothing is to be kept, and what was is gone. */
  async begin(project: string, record: ContainerRecord): Promise<MonitorLog | null> {
    const { name, spec } = record
    const path = this.#layout.log(project, name)
    // A record from before there was this field has none.
    const logging = spec.logging ?? FILE_LOGGING
    if (logging.driver === 'none') {
      this.#forwarders.begin(project, record, path)
      removeLog(path)
      return null
    }
    const mostBytes = await beginLog(path, logging)
    this.#forwarders.begin(project, record, path)
    this.#watch(project)
    return { path, mostBytes }
  }

  /** When a container goes for good. */
  async remove(project: string, container: string): Promise<void> {
    const path = this.#layout.log(project, container)
    await this.#forwarders.finish(path)
    removeLog(path)
  }

  forget(project: string): void {
    this.#watchers.get(project)?.close()
    this.#watchers.delete(project)
  }

  [Symbol.dispose](): void {
    for (const project of [...this.#watchers.keys()]) this.forget(project)
    this.#forwarders[Symbol.dispose]()
  }

  #watch(project: string): void {
    if (this.#watchers.has(project)) return
    const onChange = (_event: string, file: string | null) => {
      const log = file === null ? null : rotatedLog(file)
      if (log !== null) this.#look(project, basename(log, '.log'))
    }
    try {
      const watcher = watch(
        dirname(this.#layout.log(project, 'any')),
        { persistent: false },
        onChange,
      )
      this.#watchers.set(
        project,
        watcher.on('error', () => this.forget(project)),
      )
    } catch (error) {
      // The folder is made with the first container; the disk is bounded without this, too.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
        process.emitWarning(`watch the logs of ${project}: ${String(error)}`)
    }
  }

  #look(project: string, container: string): void {
    const path = this.#layout.log(project, container)
    const isBusy = this.#busy.has(path)
    this.#busy.set(path, isBusy)
    if (isBusy) return
    this.#advance(project, container)
      .catch((error: unknown) =>
        process.emitWarning(`rotate the log of ${container}: ${String(error)}`),
      )
      .finally(() => {
        const isDue = this.#busy.get(path) === true
        this.#busy.delete(path)
        if (isDue) this.#look(project, container)
      })
  }

  async #advance(project: string, container: string): Promise<void> {
    const record = (await this.#records.of(project)).containers.get(container)
    const logging = record?.spec.logging ?? FILE_LOGGING
    if (record === undefined || logging.driver === 'none') return
    advanceLog(this.#layout.log(project, container), logging.maxFiles)
  }
}
