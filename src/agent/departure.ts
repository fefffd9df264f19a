import { renameSync } from 'node:fs'
import { rename, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kernel } from '../kernel/kernel.ts'
import { acquireLock, tryLock } from './lock.ts'

/** Long enough that every connection made before the socket lost its name has been accepted. */
const DRAIN_MS = 5
const FILES = ['pak.sock.leaving', 'agent.json', 'agent.error', 'health.json', 'agent.log']

export interface DepartureOptions {
  readonly kernel: Kernel
  readonly runRoot: string
  /** No new connections, no timers, no names. */
  readonly close: () => Promise<void>
  /** Undo what was done to the host for containers. */
  readonly releaseHost: () => Promise<void>
}

/**
 * How the agent ends by its own will. New commands must never meet an agent that has decided to go:
 * they find the socket's name gone, wait for the lock, and start another agent.
 */
export class Departure {
  readonly #options: DepartureOptions
  readonly #path: (name: string) => string

  constructor(options: DepartureOptions) {
    this.#options = options
    this.#path = (name) => join(options.runRoot, name)
  }

  /** Leave nothing behind. False, and all as before, when somebody came at the last moment. */
  async leave(unneeded: () => Promise<boolean>): Promise<boolean> {
    const lock = await tryLock(this.#options.kernel, this.#path('lock')).catch(() => null)
    // Somebody is starting an agent, so somebody needs one.
    if (lock === null) return false
    const hidden = this.#path('pak.sock.leaving')
    try {
      renameSync(this.#path('pak.sock'), hidden)
      await sleep(DRAIN_MS)
      if (!(await unneeded())) {
        await rename(hidden, this.#path('pak.sock'))
        return false
      }
      await this.#options.close()
      await this.#options.releaseHost()
      for (const name of FILES) await rm(this.#path(name), { force: true })
      return true
    } finally {
      await lock[Symbol.asyncDispose]()
      await rmdir(this.#options.runRoot).catch(() => {})
    }
  }

  /** Leave the containers to themselves: only the socket goes, and what says that an agent runs. */
  async abandon(): Promise<void> {
    const { kernel } = this.#options
    await using _lock = await acquireLock(kernel, this.#path('lock'), { timeoutMs: 10_000 })
    for (const name of ['pak.sock', 'agent.json']) await rm(this.#path(name), { force: true })
    await this.#options.close()
  }
}
