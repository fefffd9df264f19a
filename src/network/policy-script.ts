import { POLICY_PRIORITY, type PolicySet, type PolicyTable } from './policy-table.ts'

export interface Count {
  readonly packets: number
  readonly bytes: number
}

/** What the kernel has of a project's table. */
export interface PolicyFacts {
  /** Set -> elements. */
  readonly sets: ReadonlyMap<string, ReadonlySet<string>>
  /** `chain hook: comment` of each rule, in order, as `shapeOf` has it. */
  readonly shape: string
  /** By the name of the counter. */
  readonly counts: ReadonlyMap<string, Count>
}

/**
 * The lines that make the kernel have this table. Where only addresses differ, elements come and go;
 * else all of it is made anew, and counters go on from where they were.
 */
export function policyScript(wanted: PolicyTable, before: PolicyFacts | null): readonly string[] {
  if (before === null || before.shape !== shapeOf(wanted)) return newTable(wanted, before)
  return wanted.sets.flatMap((set) => {
    const there = before.sets.get(set.name) ?? new Set()
    const gone = [...there].filter((element) => !set.elements.includes(element))
    const added = set.elements.filter((element) => !there.has(element))
    return [
      ...elements('delete', wanted, { set, list: gone }),
      ...elements('add', wanted, { set, list: added }),
    ]
  })
}

/** The lines after which there is no such table. */
export const noPolicies = (name: string): readonly string[] => [
  `add table inet ${name}`,
  `delete table inet ${name}`,
]

function elements(
  verb: 'add' | 'delete',
  { name }: PolicyTable,
  { set, list }: { readonly set: PolicySet; readonly list: readonly string[] },
): readonly string[] {
  return list.length === 0
    ? []
    : [`${verb} element inet ${name} ${set.name} { ${list.join(', ')} }`]
}

function newTable(table: PolicyTable, before: PolicyFacts | null): readonly string[] {
  const { name, sets, counters, chains } = table
  const count = (counter: string) => before?.counts.get(counter) ?? { packets: 0, bytes: 0 }
  return [
    ...noPolicies(name),
    `table inet ${name} {`,
    ...sets.flatMap((set) => [
      `  set ${set.name} {`,
      `    ${set.type}`,
      ...(set.elements.length === 0 ? [] : [`    elements = { ${set.elements.join(', ')} }`]),
      '  }',
    ]),
    ...counters.map((counter) => {
      const { packets, bytes } = count(counter)
      return `  counter ${counter} { packets ${packets} bytes ${bytes} }`
    }),
    ...chains.flatMap((chain) => [
      `  chain ${chain.name} {`,
      ...(chain.hook === null
        ? []
        : [`    type filter hook ${chain.hook} priority ${POLICY_PRIORITY}; policy accept;`]),
      ...chain.rules.map(({ match, comment }) => `    ${match} comment "${comment}"`),
      '  }',
    ]),
    '}',
  ]
}

/** Everything but the elements of sets, in one form that the kernel's side can be brought to, too. */
export function shapeOf({ sets, chains }: PolicyTable): string {
  return shapeText(
    sets.map(({ name }) => name),
    chains.map(({ name, hook, rules }) => ({
      name,
      hook: hook === null ? null : `${hook} ${POLICY_PRIORITY}`,
      comments: rules.map(({ comment }) => comment),
    })),
  )
}

interface ChainShape {
  readonly name: string
  readonly hook: string | null
  readonly comments: readonly string[]
}

function shapeText(sets: readonly string[], chains: readonly ChainShape[]): string {
  const lines = chains.map(({ name, hook, comments }) =>
    [`${name} ${hook}`, ...comments].join('\n '),
  )
  return [...[...sets].sort(), ...lines.sort()].join('\n')
}

/** What is used of libnftables-json(5) of such a table; every key may be missing. */
interface NftObject {
  readonly table?: { readonly flags?: unknown }
  readonly set?: { readonly name?: string; readonly elem?: readonly unknown[] }
  readonly counter?: { readonly name?: string; readonly packets?: number; readonly bytes?: number }
  readonly chain?: { name?: string; type?: string; hook?: string; prio?: number; policy?: string }
  readonly rule?: { readonly chain?: string; readonly comment?: string }
}

/** What `nft -j list table` says; `null` where there is no such table. */
export function policyFacts(listed: readonly unknown[] | null): PolicyFacts | null {
  if (listed === null) return null
  const objects = listed as readonly NftObject[]
  const dormant = objects.some(({ table }) => table?.flags !== undefined)
  const sets = objects.flatMap(({ set }) =>
    set?.name === undefined
      ? []
      : [[set.name, new Set((set.elem ?? []).map(elementText))] as const],
  )
  const chains = objects.flatMap(({ chain }) => {
    if (chain?.name === undefined) return []
    const { name, type, hook, prio, policy } = chain
    const hooked = hook === undefined ? null : `${hook} ${prio}`
    const odd = hook !== undefined && (type !== 'filter' || policy !== 'accept')
    const rules = objects.flatMap(({ rule }) => (rule?.chain === name ? [rule.comment ?? ''] : []))
    return [{ name, hook: odd ? 'odd' : hooked, comments: rules }]
  })
  return {
    sets: new Map(sets),
    shape: dormant
      ? 'dormant'
      : shapeText(
          sets.map(([name]) => name),
          chains,
        ),
    counts: new Map(
      objects.flatMap(({ counter }) =>
        counter?.name === undefined
          ? []
          : [[counter.name, { packets: counter.packets ?? 0, bytes: counter.bytes ?? 0 }] as const],
      ),
    ),
  }
}

function elementText(value: unknown): string {
  const { prefix } = (value ?? {}) as { prefix?: { addr?: unknown; len?: unknown } }
  return prefix === undefined ? String(value) : `${prefix.addr}/${prefix.len}`
}
