/**
 * Base chains of other programs that drop what they do not know: Docker, ufw and handwritten rules give
 * `FORWARD` and `INPUT` the policy drop. All base chains of a hook must accept a packet, so an accept
 * in pak's own table cannot overrule them; only a rule in the chain itself can. pak's rules are the last
 * ones before the drop, so that all that an administrator has written there still comes first, and
 * they say nothing but an interface and a port: iptables can show, save and restore them.
 */
export interface OtherChain {
  readonly family: string
  readonly table: string
  readonly chain: string
  readonly hook: 'forward' | 'input'
  readonly policy: string
  readonly rules: readonly OtherRule[]
}

export interface OtherRule {
  readonly handle: number
  readonly comment: string
  /** What it matches and its verdict, as `shapeOf` writes it; `null` for anything that pak never writes. */
  readonly shape: string | null
  /** Nothing comes past it. */
  readonly stops: boolean
  /** It has been through iptables-save and -restore, which hide its comment from nft. */
  readonly restored: boolean
}

interface Own {
  readonly table: string
  readonly dnsPort: number
}

/** firewalld's chains belong to firewalld: it takes an interface into a zone, and nothing else. */
export const FIREWALLD = 'firewalld'

export const nameOf = ({ family, table, chain }: OtherChain): string =>
  `${family} ${table} ${chain}`

/** Whether it drops what pak's containers need. */
export const isClosed = (chain: OtherChain, own: Own): boolean =>
  chain.table !== FIREWALLD && changesOf(chain, own).length > 0

/** Lines of a transaction that let containers through, and take back what is there in vain. */
export const openingScript = (chains: readonly OtherChain[], own: Own): readonly string[] =>
  chains.filter((chain) => isClosed(chain, own)).flatMap((chain) => changesOf(chain, own))

/** Lines that take every rule of this table's back. */
export const closingScript = (chains: readonly OtherChain[], table: string): readonly string[] =>
  chains.flatMap((chain) => ownRules(chain, table).map((rule) => deletion(chain, rule)))

function changesOf(chain: OtherChain, own: Own): readonly string[] {
  const mine = ownRules(chain, own.table)
  const end = chain.rules.find(({ stops }) => stops)
  if (end === undefined && chain.policy !== 'drop') return mine.map((rule) => deletion(chain, rule))
  const passed = end === undefined ? chain.rules : chain.rules.slice(0, chain.rules.indexOf(end))
  const wanted = wantedRules(chain, own.dnsPort)
  // Another agent's are not counted: it may go, and takes them along.
  const there = new Set(mine.filter((rule) => passed.includes(rule)).map(({ shape }) => shape))
  const stale = mine.filter(
    (rule) => !passed.includes(rule) || !wanted.some((each) => shapeOf(each) === rule.shape),
  )
  const missing = wanted.filter((each) => !there.has(shapeOf(each)))
  const place = end === undefined ? '' : ` handle ${end.handle}`
  const verb = end === undefined ? 'add' : 'insert'
  return [
    ...missing.map(
      (each) =>
        `${verb} rule ${nameOf(chain)}${place} ${textOf(each)} counter accept comment "${commentOf(own.table)}"`,
    ),
    ...stale.map((rule) => deletion(chain, rule)),
  ]
}

const ownRules = ({ rules }: OtherChain, table: string): readonly OtherRule[] =>
  rules.filter(
    ({ comment, restored, shape }) =>
      comment === commentOf(table) || (restored && shape?.includes(`name ${BRIDGES} `)),
  )

const commentOf = (table: string): string => `pak: decided in table inet ${table}`

const deletion = (chain: OtherChain, { handle }: OtherRule): string =>
  `delete rule ${nameOf(chain)} handle ${handle}`

interface Wanted {
  readonly key: 'iifname' | 'oifname'
  readonly port?: { readonly protocol: 'tcp' | 'udp'; readonly number: number }
}

/** Every bridge of pak's. */
export const BRIDGES = 'pak*'

const wantedRules = ({ hook }: OtherChain, dnsPort: number): readonly Wanted[] =>
  hook === 'forward'
    ? [{ key: 'iifname' }, { key: 'oifname' }]
    : [
        // Names: port 53 of the gateway has become this one before the hook.
        { key: 'iifname', port: { protocol: 'udp', number: dnsPort } },
        { key: 'iifname', port: { protocol: 'tcp', number: dnsPort } },
      ]

const textOf = ({ key, port }: Wanted): string =>
  `${key} "${BRIDGES}"${port === undefined ? '' : ` ${port.protocol} dport ${port.number}`}`

const shapeOf = ({ key, port }: Wanted): string =>
  `${key} ${BRIDGES}${port === undefined ? '' : ` ${port.protocol} dport ${port.number}`} accept`
