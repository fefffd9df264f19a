import type { Network } from './desired.ts'

/** What containers share with the LAN that a link of this machine leads to. */
export interface Lan {
  /** The link, as `eth1`, or `eth1.20` for its VLAN 20; `null`: one that pak makes, which leads nowhere. */
  readonly parent: string | null
  /** Of `macvlan`, or of `ipvlan`: the words of ip-link(8), as are those of `flag`. */
  readonly mode: MacvlanMode | IpvlanMode
  /** Only of `ipvlan`. */
  readonly flag?: IpvlanFlag
}

export const MACVLAN_MODES = ['bridge', 'private', 'vepa', 'passthru'] as const
export const IPVLAN_MODES = ['l2', 'l3', 'l3s'] as const
export const IPVLAN_FLAGS = ['bridge', 'private', 'vepa'] as const
export type MacvlanMode = (typeof MACVLAN_MODES)[number]
export type IpvlanMode = (typeof IPVLAN_MODES)[number]
export type IpvlanFlag = (typeof IPVLAN_FLAGS)[number]

/** A network whose containers send to whom they want by the parent, without any gateway. */
export const isRouted = ({ lan }: Pick<Network, 'lan'>): boolean =>
  lan?.mode === 'l3' || lan?.mode === 'l3s'

/** The link and the VLAN that a name such as `eth1.20` stands for; `null`: it is a link's own name. */
export function vlanOf(parent: string): { readonly link: string; readonly id: number } | null {
  const [, link = '', digits = ''] = /^(.+)\.([1-9][0-9]{0,3})$/.exec(parent) ?? []
  const id = Number(digits)
  return link === '' || id > MOST_VLANS ? null : { link, id }
}

/** 12 bits, of which the last value is reserved (IEEE 802.1Q). */
const MOST_VLANS = 4094
