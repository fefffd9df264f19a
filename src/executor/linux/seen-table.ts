import type { Kernel } from '../../kernel/kernel.ts'
import { type FirewallFacts, observeFirewall, readRules } from '../../network/firewall-observe.ts'

interface Question {
  readonly lifts: boolean
  readonly policies: string | null
}

/**
 * pak's nft tables as they were at the last look. A look is a process, a third of what a restart after a crash
 * takes: for that, what is known of the tables will do, as nothing in them changes by itself.
 */
export class SeenTable {
  readonly #kernel: Kernel
  readonly #table: string
  #seen = new Map<string, FirewallFacts>()
  /** What the rules of each table said when it was first seen since pak made it. */
  readonly #rules = new Map<string, string>()
  readonly #unread = new Set<string>()

  constructor(kernel: Kernel, table: string) {
    this.#kernel = kernel
    this.#table = table
  }

  /** Throws `network`. */
  async look({ lifts, policies }: Question): Promise<FirewallFacts> {
    // Whoever changes the table meanwhile has put another map in its place.
    const seen = this.#seen
    const question = { lifts, policies }
    const facts = this.#compared(
      await observeFirewall(this.#kernel, this.#table, question),
      policies,
    )
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

  /** These tables, as `family name`, are pak's own making now. */
  trust(tables: readonly string[]): void {
    for (const table of tables) {
      this.#rules.delete(table)
      this.#unread.add(table)
    }
  }

  /** Read what the rules of trusted tables say, so that another wording is told from it. Throws `network`. */
  async learn(): Promise<void> {
    const tables = [...this.#unread]
    this.#unread.clear()
    for (const table of tables) {
      const rules = await readRules(this.#kernel, table)
      if (rules !== null && !this.#rules.has(table)) this.#rules.set(table, rules)
    }
  }

  /** A rule that somebody wrote anew under pak's comment says something else than before. */
  #compared(facts: FirewallFacts, policies: string | null): FirewallFacts {
    const altered = new Set<string>()
    for (const [table, rules] of facts.rules) {
      const before = this.#rules.get(table)
      if (before === undefined) this.#rules.set(table, rules)
      else if (before !== rules) altered.add(table)
    }
    const own = altered.has(`inet ${this.#table}`)
    return {
      ...facts,
      ...(own ? { dnsPort: null, fault: facts.fault ?? 'a rule was not as pak made it' } : {}),
      ...(altered.has(`bridge ${this.#table}`) ? { lifts: null } : {}),
      ...(altered.has(`inet ${policies}`) && facts.policies !== null
        ? { policies: { ...facts.policies, shape: 'altered' } }
        : {}),
    }
  }
}
