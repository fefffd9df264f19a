import { rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'
import type { DesiredState } from '../model/desired.ts'
import { journalPath } from './journal.ts'
import type { Update, Updates } from './updates.ts'

/** The desired state that the loop keeps, one file a project, mode 0600: secrets may be in it. */
export class KeptStore {
  readonly #kernel: Kernel
  readonly #projects: string
  /** Only the agent writes these files, and only here: what it has read or written is what they say. */
  readonly #known = new Map<string, DesiredState>()
  /** How often one of them was written or removed: what is read across that may be of before. */
  #changes = 0

  constructor(kernel: Kernel, root: string) {
    this.#kernel = kernel
    this.#projects = join(root, 'projects')
  }

  folder(project: string): string {
    return join(this.#projects, project)
  }

  /** Projects with any trace on disk, sorted; that may be only volumes. */
  projects(): Promise<readonly string[]> {
    return this.#kernel.list(this.#projects)
  }

  async read(project: string): Promise<DesiredState | null> {
    const known = this.#known.get(project)
    if (known !== undefined) return known
    const changes = this.#changes
    const text = await this.#kernel.readText(this.#path(project))
    if (text === null) return null
    // Written whole or not at all.
    const desired = JSON.parse(text) as DesiredState
    if (changes === this.#changes) this.#known.set(project, desired)
    return desired
  }

  async write(project: string, desired: DesiredState): Promise<void> {
    await this.#kernel.makeFolder(this.folder(project), 0o700)
    this.#forget(project)
    await this.#kernel.replaceFile(this.#path(project), JSON.stringify(desired))
    this.#forget(project)
    this.#known.set(project, desired)
  }

  async readUpdates(project: string): Promise<Updates> {
    const text = await this.#kernel.readText(this.#updatesPath(project))
    return new Map(text === null ? [] : (JSON.parse(text) as [string, Update][]))
  }

  async writeUpdates(project: string, updates: Updates): Promise<void> {
    await this.#kernel.makeFolder(this.folder(project), 0o700)
    await this.#kernel.replaceFile(this.#updatesPath(project), JSON.stringify([...updates]))
  }

  /** Folder of the manifest that was applied last; `null`: none, or not known. */
  readOrigin(project: string): Promise<string | null> {
    return this.#kernel.readText(this.#originPath(project))
  }

  async writeOrigin(project: string, origin: string): Promise<void> {
    await this.#kernel.replaceFile(this.#originPath(project), origin)
  }

  async remove(project: string): Promise<void> {
    this.#forget(project)
    await rm(this.#path(project), { force: true })
    await rm(this.#updatesPath(project), { force: true })
  }

  /** What the agent itself wrote for a project that has no record any more. */
  async sweep(project: string): Promise<void> {
    this.#forget(project)
    const journal = journalPath(this.folder(project))
    for (const path of [
      this.#path(project),
      this.#updatesPath(project),
      this.#originPath(project),
      journal,
      `${journal}.1`,
    ])
      await rm(path, { force: true })
    await rmdir(this.folder(project)).catch(() => {})
  }

  #forget(project: string): void {
    this.#known.delete(project)
    this.#changes += 1
  }

  #updatesPath(project: string): string {
    return join(this.folder(project), 'update.json')
  }

  #originPath(project: string): string {
    return join(this.folder(project), 'origin')
  }

  #path(project: string): string {
    return join(this.folder(project), 'desired.json')
  }
}
