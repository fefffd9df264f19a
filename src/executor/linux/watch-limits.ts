import { type FSWatcher, watch } from 'node:fs'
import type { LinuxHost } from './host.ts'
import type { ContainerRecord, ProjectRecords } from './records.ts'

/** Files in which limits are; the others there change all the time, or say what is used. */
const LIMIT_FILE =
  /^(memory\.(max|high|low|swap\.max|limit_in_bytes|memsw\.limit_in_bytes|soft_limit_in_bytes|swappiness|oom\.group)|cpu\.(max(\.burst)?|weight|shares|cfs_.*_us)|cpuset\.cpus|pids\.max|io\.(max|weight))$/

export interface LimitWatch extends Disposable {
  /** Watch the cgroups of what runs in these projects, and no others. */
  follow(projects: readonly ProjectRecords[]): void
}

/** inotify(7) tells of writes into cgroup files as of any others: no reading, and no waiting for a timer. */
export function watchLimits(host: LinuxHost, onWrite: (project: string) => void): LimitWatch {
  const watchers = new Map<string, FSWatcher>()
  const known = new WeakMap<ContainerRecord, readonly string[]>()
  let followed: readonly ContainerRecord[] = []
  const close = (folder: string) => {
    watchers.get(folder)?.close()
    watchers.delete(folder)
  }
  const open = (folder: string, project: string) => {
    try {
      const watcher = watch(folder, (_event, file) => {
        if (file !== null && LIMIT_FILE.test(file)) onWrite(project)
      })
      watcher.on('error', () => {
        close(folder)
        followed = []
      })
      watcher.unref()
      watchers.set(folder, watcher)
    } catch (error) {
      // Gone already, or the host has no watches left: then the loop's timer finds it, later.
      if (!(error instanceof Error && 'code' in error)) throw error
      followed = []
    }
  }
  return {
    follow(projects) {
      const now = projects.flatMap(({ containers }) => [...containers.values()])
      if (now.length === followed.length && now.every((one, index) => one === followed[index]))
        return
      followed = now
      const wanted = new Map(projects.flatMap((records) => foldersOf(host, known, records)))
      for (const folder of [...watchers.keys()]) if (!wanted.has(folder)) close(folder)
      for (const [folder, project] of wanted) if (!watchers.has(folder)) open(folder, project)
    },
    [Symbol.dispose]() {
      for (const folder of [...watchers.keys()]) close(folder)
    },
  }
}

/** `known`: a record that changes is another one, so that paths are made once for each. */
function foldersOf(
  { layout, cgroups }: LinuxHost,
  known: WeakMap<ContainerRecord, readonly string[]>,
  { name, containers }: ProjectRecords,
): readonly (readonly [string, string])[] {
  const running = [...containers.values()].filter(({ run }) => run !== null)
  const own = (record: ContainerRecord) => {
    const folders = known.get(record) ?? cgroups.folders(layout.cgroup(name, record.name))
    known.set(record, folders)
    return folders
  }
  return [...cgroups.folders(layout.projectCgroup(name)), ...running.flatMap(own)].map(
    (folder) => [folder, name] as const,
  )
}
