import { PakError } from '../errors.ts'
import { ipBatch, ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { IPVLAN_FLAGS, IPVLAN_MODES, type Lan, MACVLAN_MODES, vlanOf } from '../model/lan.ts'
import { deviceWord, macWord, numberWord } from './words.ts'

/** An interface of a container that hangs on a link of this host; it has no end here. */
export interface Child {
  readonly parent: string
  readonly kind: 'macvlan' | 'ipvlan'
  readonly mode: Lan['mode']
  readonly flag?: Lan['flag']
  /** Its name inside. */
  readonly peer: string
  readonly pid: number
  /** `null`: the parent's. */
  readonly mac: string | null
  readonly mtu?: number
}

/** Lines for `ip -batch` that make interfaces where they belong, with their final names. */
export const childBatch = (children: readonly Child[]): string[] =>
  children.map(({ parent, kind, mode, flag, peer, pid, mac, mtu }) => {
    const words = [
      `link add link ${deviceWord(parent)} name ${deviceWord(peer)}`,
      ...(mac === null ? [] : [`address ${macWord(mac)}`]),
      ...(mtu === undefined ? [] : [`mtu ${numberWord(mtu)}`]),
      `netns ${numberWord(pid)} type ${kind} mode ${modeWord(mode)}`,
      ...(flag === undefined ? [] : [flagWord(flag)]),
    ]
    return words.join(' ')
  })

/** Lines that make a link for others to hang on: a VLAN where the name says so, else one that leads nowhere. */
export function parentBatch(name: string, exists: boolean): readonly string[] {
  const vlan = vlanOf(name)
  const kind = vlan === null ? 'type dummy' : `type vlan id ${numberWord(vlan.id)}`
  const below = vlan === null ? '' : `link ${deviceWord(vlan.link)} `
  return [
    ...(exists ? [] : [`link add ${below}name ${deviceWord(name)} ${kind}`]),
    `link set dev ${deviceWord(name)} up`,
  ]
}

/** Whether this kernel has links of a kind; tried where nobody sees it, which also loads the module. */
export async function hasKind(kernel: Kernel, kind: string): Promise<boolean> {
  const id = kind === 'vlan' ? ['id', '2'] : []
  const words = ['--net', '--', 'ip', 'link', 'add', 'name', 'pw0', 'type', kind, ...id]
  // Without a parent it is made of no kind that needs one: what counts is whether the kind is known.
  const { stderr } = await kernel.run('unshare', words)
  return !/unknown device type|not supported/i.test(stderr)
}

/**
 * Take all such interfaces out of a namespace of which only the file is left. It may live on for minutes
 * with a socket that wants to say goodbye, and their addresses with it.
 */
export async function removeChildren(kernel: Kernel, netnsFile: string): Promise<void> {
  const links = await ipJson(kernel, ['-d', 'link', 'show'], { netnsFile })
  if (!Array.isArray(links)) return
  const names = links.flatMap((link) => childName(link as IpLink))
  const lines = names.map((name) => `link del dev ${deviceWord(name)}`)
  await ipBatch(kernel, lines, { netnsFile, goneIsFine: true })
}

interface IpLink {
  readonly ifname?: string
  readonly linkinfo?: { readonly info_kind?: string }
}

const childName = ({ ifname, linkinfo }: IpLink): readonly string[] =>
  ifname !== undefined && /^(macvlan|ipvlan)$/.test(linkinfo?.info_kind ?? '') ? [ifname] : []

const modeWord = (mode: string): string => known([...MACVLAN_MODES, ...IPVLAN_MODES], mode)
const flagWord = (flag: string): string => known([...IPVLAN_FLAGS], flag)

function known(words: readonly string[], word: string): string {
  if (words.includes(word)) return word
  throw new PakError('network', `mode \`${word}\`: refused`)
}
