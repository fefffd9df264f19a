import type { Kernel } from '../kernel/kernel.ts'
import { nftList } from '../kernel/nft.ts'
import { BRIDGES, FIREWALLD, nameOf, type OtherChain, type OtherRule } from './firewall-others.ts'

/** The chains of others at the hooks that containers' packets go through. Throws `network`. */
export async function observeOthers(kernel: Kernel): Promise<readonly OtherChain[]> {
  const objects = ((await nftList(kernel, ['list chains'])) ?? []) as readonly NftObject[]
  const chains = objects.flatMap(({ chain }) => (chain === undefined ? [] : baseChain(chain)))
  const tables = new Set(chains.map(({ family, table }) => `${family} ${table}`))
  const rules = new Map(
    (await Promise.all([...tables].map((table) => rulesOf(kernel, table)))).flatMap((one) => [
      ...one,
    ]),
  )
  return chains.map((chain) => {
    // As with `-j LOGDROP`: written in one chain, for all that reach the end of another.
    const isDeadly = (target: string | null): boolean =>
      target !== null && endsAll(rules.get(nameOf({ ...chain, chain: target })) ?? [])
    const own = rules.get(nameOf(chain)) ?? []
    return {
      ...chain,
      rules: own.map((rule) => ({ ...rule, stops: rule.stops || isDeadly(rule.goesTo) })),
    }
  })
}

/**
 * Of all chains of a table, by `nameOf`. The whole table: nft 1.0.6 shows only the last one of several chains that it
 * is asked for, and a process for each is ten beside Docker.
 */
async function rulesOf(
  kernel: Kernel,
  table: string,
): Promise<ReadonlyMap<string, readonly ReadRule[]>> {
  const listed = (await nftList(kernel, [`list table ${table}`], { terse: true })) ?? []
  const rules = new Map<string, ReadRule[]>()
  for (const { rule } of listed as readonly NftObject[]) {
    if (rule === undefined) continue
    const chain = `${table} ${rule.chain}`
    rules.set(chain, [...(rules.get(chain) ?? []), otherRule(rule)])
  }
  return rules
}

/** Whether nothing that goes into a chain comes out again, unless one of its rules knows it. */
function endsAll(rules: readonly ReadRule[]): boolean {
  const deciding = rules.find(({ stops, lets }) => stops || lets)
  return deciding?.stops ?? false
}

interface ReadRule extends OtherRule {
  /** Accepts or returns everything. */
  readonly lets: boolean
  /** The chain that everything goes to; `null`: none. */
  readonly goesTo: string | null
}

const WORD = /^[A-Za-z][A-Za-z0-9_.-]{0,127}$/
const OURS = /^pak(_[0-9a-z]+)?$/

function baseChain(chain: NftChain): readonly OtherChain[] {
  const { family = '', table = '', name = '', hook, type, policy = 'accept' } = chain
  if (family !== 'ip' && family !== 'inet') return []
  if (type !== 'filter' || (hook !== 'forward' && hook !== 'input')) return []
  if (OURS.test(table) || !WORD.test(table) || !WORD.test(name)) return []
  return [{ family, table, chain: name, hook, policy, rules: [] }]
}

/** What is used of libnftables-json(5); every key may be missing. */
interface NftObject {
  readonly chain?: NftChain
  readonly rule?: NftRule
}

interface NftChain {
  readonly family?: string
  readonly table?: string
  readonly name?: string
  readonly type?: string
  readonly hook?: string
  readonly policy?: string
}

interface NftRule {
  readonly chain?: string
  readonly handle?: number
  readonly comment?: string
  readonly expr?: readonly NftExpression[]
}

interface NftExpression {
  readonly match?: {
    readonly op?: string
    readonly left?: {
      readonly meta?: { readonly key?: string }
      readonly payload?: { readonly protocol?: string; readonly field?: string }
    }
    readonly right?: unknown
  }
  readonly [key: string]: unknown
}

/** Neither decides nor lets anything by. */
const SILENT: ReadonlySet<string> = new Set(['counter', 'log'])

function otherRule({ handle = 0, comment = '', expr = [] }: NftRule): ReadRule {
  const telling = expr.filter((each) => !isRemark(each))
  const [only] = telling
  const all = telling.length === 1 ? (only ?? {}) : {}
  const stops = 'drop' in all || 'reject' in all || xtName(all) === 'REJECT'
  const lets = 'accept' in all || 'return' in all
  const { target } = (all['jump'] ?? all['goto'] ?? {}) as { target?: unknown }
  const goesTo = typeof target === 'string' ? target : null
  const restored = comment === '' && expr.some((each) => xtName(each) === 'comment')
  return { handle, comment, shape: shapeFrom(telling), stops, restored, lets, goesTo }
}

const isRemark = (expression: NftExpression): boolean => {
  const [key = ''] = Object.keys(expression)
  return SILENT.has(key) || ['comment', 'LOG', 'NFLOG'].includes(xtName(expression) ?? '')
}

/** What iptables keeps in its own words, of which nft shows the name alone: comments, `-j REJECT`, `-j LOG`. */
function xtName(expression: NftExpression): string | null {
  const { name } = (expression['xt'] ?? {}) as { name?: unknown }
  return typeof name === 'string' ? name : null
}

function shapeFrom(expressions: readonly NftExpression[]): string | null {
  const words = expressions.map((expression) => {
    if ('accept' in expression) return 'accept'
    const { op, left, right } = expression.match ?? {}
    if (op !== '==' || (typeof right !== 'string' && typeof right !== 'number')) return null
    if (left?.meta?.key !== undefined) return `${left.meta.key} ${right}`
    const { protocol, field } = left?.payload ?? {}
    return protocol === undefined || field === undefined ? null : `${protocol} ${field} ${right}`
  })
  return words.includes(null) ? null : words.join(' ')
}

/** What firewalld does with pak's bridges is its own to say: `null` where it is not there or lets them by. */
export async function firewalldCaution(
  kernel: Kernel,
  chains: readonly OtherChain[],
): Promise<string | null> {
  if (!chains.some(({ table, hook }) => table === FIREWALLD && hook === 'forward')) return null
  const { stdout } = await kernel.run('nft', ['list', 'table', 'inet', FIREWALLD])
  return stdout.includes(`"${BRIDGES}"`) ? null : FIREWALLD_CAUTION
}

const FIREWALLD_CAUTION =
  'firewalld drops what containers send out: firewall-cmd --permanent --zone=trusted --add-interface=pak+ && firewall-cmd --reload'
