import { type FSWatcher, watch } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LinuxHost } from './host.ts'

/**
 * On cgroup v1 the kernel kills one process for memory and leaves the rest half alive. The monitor
 * leaves a file `oom` in the bundle when it hears of that; then the whole container goes, as on v2 the
 * kernel does by itself (`memory.oom.group`).
 */
export async function watchOom(
  host: LinuxHost,
  onError: (error: unknown) => void,
): Promise<Disposable> {
  const parent = host.layout.bundles
  await host.kernel.makeFolder(parent, 0o700)
  const bundles = new Map<string, FSWatcher>()
  const look = (id: string) => killIfOom(host, id).catch(onError)
  const follow = (id: string) => {
    bundles.get(id)?.close()
    bundles.delete(id)
    try {
      const watcher = watch(join(parent, id), (_event, file) => {
        if (file === 'oom') look(id)
      })
      // The folder went; its name comes up again in the parent when the container starts anew.
      watcher.on('error', () => watcher.close())
      bundles.set(id, watcher)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    }
  }
  const watcher = watch(parent, (_event, name) => {
    if (name !== null) follow(basename(name))
  })
  for (const id of await host.kernel.list(parent)) {
    follow(id)
    if (await host.kernel.exists(join(parent, id, 'oom'))) look(id)
  }
  return {
    [Symbol.dispose]() {
      watcher.close()
      for (const bundle of bundles.values()) bundle.close()
    },
  }
}

/** How long after the notice the kernel may take to choose and kill, and how often to look. */
const VERDICT_MS = 5000
const LOOK_AGAIN_MS = 20

async function killIfOom(host: LinuxHost, containerId: string): Promise<void> {
  const found = host.records.find(containerId)
  if (found === null || found.record.spec.limits.oom === 'process') return
  // The monitor writes the file anew for each notice, but only what is not there yet makes an event.
  await host.kernel.removeTree(join(host.layout.bundle(containerId), 'oom'))
  const cgroup = host.layout.cgroup(found.project, found.record.name)
  // The monitor also hears of a project's limit that killed a neighbour: the kernel's count decides. The
  // notice comes before the kill, so the count may still be about to rise.
  const deadline = performance.now() + VERDICT_MS
  while ((await host.cgroups.oomKills(cgroup)) === 0) {
    if (performance.now() > deadline) return
    await sleep(LOOK_AGAIN_MS, undefined, { ref: false })
  }
  await host.cgroups.killAll(cgroup)
}
