import type { Kernel } from '../kernel/kernel.ts'
import { nftList } from '../kernel/nft.ts'
import { BRIDGES, FIREWALLD, nameOf, type OtherChain, type OtherRule } from './firewall-others.ts'

/** The chains of others at the hooks that containers' packets go through. Throws `network`. */
export async function observeOthers(kernel: Kernel): Promise<readonly OtherChain[]> {
  const objects = ((await nftList(kernel, ['list chains'])) ?? []) as readonly NftObject[]
  const chains = objects.flatMap(({ chain }) => (chain === undefined ? [] : baseChain(chain)))
  return Promise.all(
    chains.map(async (chain) => {
      const listed = await nftList(kernel, [`list chain ${nameOf(chain)}`])
      const rules = ((listed ?? []) as readonly NftObject[]).flatMap(({ rule }) =>
        rule === undefined ? [] : [otherRule(rule)],
      )
      return { ...chain, rules }
    }),
  )
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

function otherRule({ handle = 0, comment = '', expr = [] }: NftRule): OtherRule {
  const telling = expr.filter((each) => !isRemark(each))
  const [only] = telling
  const stops = telling.length === 1 && only !== undefined && ('drop' in only || 'reject' in only)
  const restored = comment === '' && expr.some((each) => 'xt' in each && isRemark(each))
  return { handle, comment, shape: shapeFrom(telling), stops, restored }
}

const isRemark = (expression: NftExpression): boolean => {
  const [key = ''] = Object.keys(expression)
  // As iptables-restore writes a comment.
  const { name } = (expression['xt'] ?? {}) as { name?: unknown }
  return SILENT.has(key) || name === 'comment'
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
