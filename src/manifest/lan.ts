import type { Network } from '../model/desired.ts'
import {
  IPVLAN_FLAGS,
  IPVLAN_MODES,
  type IpvlanFlag,
  isRouted,
  type Lan,
  MACVLAN_MODES,
} from '../model/lan.ts'
import { attempt, type Context, complain, pairsOf, Refusal } from './context.ts'
import { parseInterfaceName } from './names.ts'
import { shown } from './problem.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** Words of `driver_opts` that only `macvlan` and `ipvlan` have, and those of them that are one's alone. */
export const LAN_OPTIONS: readonly string[] = [
  'parent',
  'macvlan_mode',
  'ipvlan_mode',
  'ipvlan_flag',
]

type LanPart = Partial<Pick<Network, 'driver' | 'internal' | 'lan'>>

/** What a network is because its containers stand on a LAN; nothing for one whose do not. */
export function lanOf(context: Context, field: Field, network: Network): LanPart {
  const driver = textOf(child(field, 'driver'))
  if (driver !== 'macvlan' && driver !== 'ipvlan') {
    refuseOutside(context, field, driver ?? 'bridge')
    return {}
  }
  refuseBridges(context, field, network, driver)
  const lan = optionsOf(context, field, driver)
  if (isRouted({ lan })) refuseGateways(context, field, lan.mode)
  // What leads nowhere leads nobody out.
  return { driver, lan, ...(lan.parent === null ? { internal: true } : {}) }
}

function refuseOutside(context: Context, field: Field, driver: string): void {
  for (const { name, field: at } of pairsOf(child(field, 'driver_opts')))
    if (LAN_OPTIONS.includes(name))
      complain(
        context,
        at,
        new Refusal(
          `a ${driver} has no ${shown(name)}`,
          'it goes with `driver: macvlan` or `ipvlan`',
        ),
      )
}

/** What is of a bridge, which there is none. */
function refuseBridges(
  context: Context,
  field: Field,
  { bridge, isolated }: Network,
  driver: 'macvlan' | 'ipvlan',
): void {
  const at = child(field, 'driver_opts') ?? field
  if (bridge !== undefined)
    complain(context, at, new Refusal(`${withArticle(driver)} has no bridge to name`))
  if (isolated === undefined) return
  const hint = driver === 'macvlan' ? 'say `macvlan_mode: private`' : 'say `ipvlan_flag: private`'
  complain(context, at, new Refusal(`${withArticle(driver)} has no \`isolated\``, hint))
}

const withArticle = (driver: 'macvlan' | 'ipvlan'): string =>
  `${driver === 'ipvlan' ? 'an' : 'a'} ${driver}`

function refuseGateways(context: Context, field: Field, mode: string): void {
  const entries = [field, ...itemsOf(child(child(field, 'ipam'), 'config'))]
  for (const at of entries.flatMap((entry) => child(entry, 'gateway') ?? []))
    complain(
      context,
      at,
      new Refusal(
        `an ipvlan of mode ${mode} has no gateway`,
        'this host routes for its containers',
      ),
    )
}

function optionsOf(context: Context, field: Field, driver: 'macvlan' | 'ipvlan'): Lan {
  let [parent, mode, flag]: [string | null, Lan['mode'] | null, IpvlanFlag | null] = [
    null,
    null,
    null,
  ]
  const foreign = driver === 'macvlan' ? /^ipvlan_/ : /^macvlan_/
  for (const { name, value, field: at } of pairsOf(child(field, 'driver_opts'))) {
    const text = value ?? ''
    const make = () => {
      if (foreign.test(name)) throw new Refusal(`${withArticle(driver)} has no ${shown(name)}`)
      if (name === 'parent') parent = parseInterfaceName(text)
      if (name === 'macvlan_mode') mode = oneOf(MACVLAN_MODES, text)
      if (name === 'ipvlan_mode') mode = oneOf(IPVLAN_MODES, text)
      if (name === 'ipvlan_flag') flag = oneOf(IPVLAN_FLAGS, text)
    }
    attempt<void>(context, at, { make, fallback: undefined })
  }
  if (driver === 'macvlan') return { parent, mode: mode ?? 'bridge' }
  return { parent, mode: mode ?? 'l2', flag: flag ?? 'bridge' }
}

function oneOf<T extends string>(words: readonly T[], text: string): T {
  const found = words.find((word) => word === text)
  if (found !== undefined) return found
  const known = words.map((word) => `\`${word}\``).join(', ')
  throw new Refusal(`expected one of ${known}, got ${shown(text)}`)
}
