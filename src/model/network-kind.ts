import type { Network } from './desired.ts'

/**
 * Who carries what containers send on a network: a bridge of pak's; a LAN that they stand on by themselves;
 * or whatever plugins of CNI make of it.
 */
type NetworkKind = 'bridge' | 'lan' | 'cni'

type Driven = Pick<Network, 'driver'>

const KINDS: Readonly<Record<Network['driver'], NetworkKind>> = {
  bridge: 'bridge',
  vxlan: 'bridge',
  macvlan: 'lan',
  ipvlan: 'lan',
  cni: 'cni',
}

export const kindOf = ({ driver }: Driven): NetworkKind => KINDS[driver]

/** Addresses there are pak's to give, to services, too, and its firewall knows them. */
export const isBridged = (network: Driven): boolean => kindOf(network) === 'bridge'

/**
 * This host is not on such a network: nothing there passes by its firewall, none of its addresses is
 * reached, and no bridge of pak's belongs to it.
 */
export const isLan = (network: Driven): boolean => kindOf(network) === 'lan'
