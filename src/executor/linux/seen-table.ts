import type { Kernel } from '../../kernel/kernel.ts'
import { type FirewallFacts, observeFirewall } from '../../network/firewall-observe.ts'

interface Question {
  readonly lifts: boolean
  readonly policies: string | null
}

/**
 * pak's nft table as it was at the last look. A look is a process, a third of what a restart after a crash
 * takes: for that, what is known of the table will do, as nothing in it changes by itself.
 */
export class SeenTable {
  readonly #kernel: Kernel
  readonly #table: string
  #seen = new Map<string, FirewallFacts>()

  constructor(kernel: Kernel, table: string) {
    this.#kernel = kernel
    this.#table = table
  }

  /** Throws `network`. */
  async look(question: Question): Promise<FirewallFacts> {
    // Whoever changes the table meanwhile has put another map in its place.
    const seen = this.#seen
    const facts = await observeFirewall(this.#kernel, this.#table, question)
    seen.set(JSON.stringify(question), facts)
    return facts
  }

  /** What was seen, unless the table is known to have changed since. Throws `network`. */
  async known(question: Question): Promise<FirewallFacts> {
    return this.#seen.get(JSON.stringify(question)) ?? this.look(question)
  }

  /** It changes, or has changed: to be said after each transaction of pak's own, too. */
  forget(): void {
    this.#seen = new Map()
  }
}
