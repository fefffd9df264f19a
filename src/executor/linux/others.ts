import type { Kernel } from '../../kernel/kernel.ts'
import { nameOf, type OtherChain } from '../../network/firewall-others.ts'
import { firewalldCaution, observeOthers } from '../../network/firewall-others-observe.ts'

/** Looked at now and then, not with every pass: most machines have no such chain. */
const FRESH_MS = 10_000

/** What others' chains were at the last look. */
export class Others {
  readonly #kernel: Kernel
  readonly #now: () => number
  readonly #refused = new Set<string>()
  #looking: Promise<readonly OtherChain[]> | null = null
  #seen: { readonly chains: readonly OtherChain[]; readonly at: number } | null = null

  constructor(kernel: Kernel, now: () => number = () => performance.now()) {
    this.#kernel = kernel
    this.#now = now
  }

  /** Those whose rules pak may touch. Throws `network`. */
  async look(): Promise<readonly OtherChain[]> {
    const fresh = this.#seen !== null && this.#now() - this.#seen.at < FRESH_MS
    return this.#allowed(this.#seen !== null && fresh ? this.#seen.chains : await this.#lookNow())
  }

  /** As they were at the last look, however long ago: for who has to be quick. Throws `network`. */
  async lastSeen(): Promise<readonly OtherChain[]> {
    return this.#seen === null ? this.look() : this.#allowed(this.#seen.chains)
  }

  /** One look for all who ask meanwhile. */
  async #lookNow(): Promise<readonly OtherChain[]> {
    this.#looking ??= observeOthers(this.#kernel)
    const looking = this.#looking
    try {
      const chains = await looking
      if (this.#looking === looking) this.#seen = { chains, at: this.#now() }
      return chains
    } finally {
      if (this.#looking === looking) this.#looking = null
    }
  }

  #allowed(chains: readonly OtherChain[]): readonly OtherChain[] {
    return chains.filter((chain) => !this.#refused.has(nameOf(chain)))
  }

  /** What stays closed, and what a user can do about it. */
  async cautions(): Promise<readonly string[]> {
    await this.look()
    const firewalld = await firewalldCaution(this.#kernel, this.#seen?.chains ?? [])
    const refused = [...this.#refused].map(
      (name) =>
        `chain \`${name}\` may drop what containers send, and its owner lets nobody change it`,
    )
    return [...(firewalld === null ? [] : [firewalld]), ...refused]
  }

  /** Whether there are any at all, as far as is known: then what goes from the ruleset may matter. */
  get known(): boolean {
    return (this.#seen?.chains.length ?? 0) > 0
  }

  forget(): void {
    this.#looking = null
    this.#seen = null
  }

  /** For who asks next; what is wrong is told then. */
  lookAgain(): void {
    this.forget()
    this.look().catch(() => {})
  }

  /** Their owner lets nobody else write: not asked again by this agent. */
  refuse(chains: readonly OtherChain[]): void {
    for (const chain of chains) this.#refused.add(nameOf(chain))
  }
}
