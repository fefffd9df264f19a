import { createHash } from 'node:crypto'
import { PakError } from '../errors.ts'
import { ipJson } from '../kernel/ip.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { formatAddress, parseAddress, parseCidr } from './ipv4.ts'
import { deviceWord, numberWord, word } from './words.ts'

/**
 * What a network's tunnel goes through when it is encrypted. Each machine has one more address of its
 * part of the network, on this device alone; the VXLAN goes between those, and is bound to the device:
 * without it there is no tunnel, rather than one in plain text.
 */
export interface Wireguard {
  readonly name: string
  /** UDP, on the net between the machines. */
  readonly port: number
  readonly mtu: number
  /** Of this machine. */
  readonly address: string
  readonly publicKey: string
  readonly peers: readonly WireguardPeer[]
}

export interface WireguardPeer {
  readonly publicKey: string
  /** Where it is reached. */
  readonly endpoint: string
  /** The only address that it may send from. */
  readonly address: string
}

/** Outer IPv6, UDP, its own header and the tag, in bytes: what wg-quick(8) leaves, too. */
const OVERHEAD = 80
export const wireguardName = (seed: string): string =>
  `pw${createHash('sha256').update(seed).digest('hex').slice(0, 12)}`

export const wireguardMtu = (underlay: number): number => underlay - OVERHEAD

/** The one before the last of a machine's part of the network: nobody else is given it. */
export const wireguardAddress = (range: string): string => formatAddress(parseCidr(range).last - 1)

/** Lines for `ip -batch`. `routes`: addresses to which there is a way by the device now. */
export function wireguardBatch(
  { name, mtu, address, peers }: Wireguard,
  { existing, routes }: { readonly existing: boolean; readonly routes: readonly string[] },
): string[] {
  const device = deviceWord(name)
  const strays = routes.filter((route) => !peers.some((peer) => peer.address === route))
  return [
    ...(existing ? [] : [`link add name ${device} type wireguard`]),
    `addr replace ${addressWord(address)}/32 dev ${device}`,
    `link set dev ${device} mtu ${numberWord(mtu)} up`,
    ...strays.map((route) => `route del ${addressWord(route)}/32 dev ${device}`),
    ...peers.map((peer) => `route replace ${addressWord(peer.address)}/32 dev ${device}`),
  ]
}

/** Single addresses to which a device leads. */
export async function wireguardRoutes(kernel: Kernel, name: string): Promise<readonly string[]> {
  const routes = await ipJson(kernel, ['-4', 'route', 'show', 'dev', deviceWord(name)])
  if (!Array.isArray(routes)) return []
  return routes.flatMap((route: { dst?: unknown } | null) =>
    typeof route?.dst === 'string' && !route.dst.includes('/') ? [route.dst] : [],
  )
}

/** What of a device wg(8) shows. */
export interface WireguardFacts {
  readonly publicKey: string
  readonly port: number
  /** Public key -> addresses. */
  readonly peers: ReadonlyMap<string, string>
}

/**
 * Give a device its key, from a file, and its peers, and take others away. A peer that has moved by
 * itself is looked for where the file says, until it is heard of again.
 */
export async function setWireguard(
  kernel: Kernel,
  device: Wireguard,
  keyFile: string,
): Promise<void> {
  const before = await readWireguard(kernel, device.name)
  const { exitCode, stderr } = await kernel.run('wg', wireguardWords(device, { keyFile, before }))
  if (exitCode === 0) return
  const reason = stderr.trim().split('\n')[0] ?? ''
  throw new PakError('network', `wg \`set ${device.name}\`: ${reason.toLowerCase()}`, {
    ...(/in use/.test(reason)
      ? { hint: `UDP port ${device.port} is taken; say \`wireguard_port\` in \`driver_opts\`` }
      : {}),
  })
}

/** The arguments of wg(8); nothing of them is a secret. */
export function wireguardWords(
  { name, port, peers }: Wireguard,
  { keyFile, before }: { readonly keyFile: string; readonly before: WireguardFacts | null },
): string[] {
  const wanted = new Set(peers.map(({ publicKey }) => publicKey))
  const gone = [...(before?.peers.keys() ?? [])].filter((key) => !wanted.has(key))
  return [
    ...['set', deviceWord(name), 'listen-port', numberWord(port), 'private-key', keyFile],
    ...gone.flatMap((key) => ['peer', keyWord(key), 'remove']),
    ...peers.flatMap(({ publicKey, endpoint, address }) => [
      ...['peer', keyWord(publicKey), 'allowed-ips', `${addressWord(address)}/32`],
      ...['endpoint', `${addressWord(endpoint)}:${numberWord(port)}`],
    ]),
  ]
}

export async function readWireguard(kernel: Kernel, name: string): Promise<WireguardFacts | null> {
  const { exitCode, stdout } = await kernel.run('wg', ['show', deviceWord(name), 'dump'])
  return exitCode === 0 ? parseDump(stdout) : null
}

/** wg(8), `dump`: the device's line, with its private key first, which is passed over; then its peers'. */
export function parseDump(text: string): WireguardFacts {
  const [own = '', ...rest] = text.split('\n').filter((line) => line !== '')
  const [, publicKey = '', port = ''] = own.split('\t')
  const peers = rest.map((line): readonly [string, string] => {
    const [key = '', , , allowed = ''] = line.split('\t')
    return [key, allowed]
  })
  return { publicKey, port: Number(port), peers: new Map(peers) }
}

/** What of it is not as pak set it, for a reader; `null`: nothing. */
export function wireguardDrift(device: Wireguard, found: WireguardFacts): string | null {
  const { name, publicKey, port, peers } = device
  if (found.publicKey !== publicKey) return `wireguard ${name} had another key`
  if (found.port !== port) return `wireguard ${name} had port ${found.port}, should be ${port}`
  const lost = peers.find((peer) => found.peers.get(peer.publicKey) !== `${peer.address}/32`)
  if (lost !== undefined) return `wireguard ${name} lost its peer ${lost.endpoint}`
  const known = new Set(peers.map((peer) => peer.publicKey))
  const extra = [...found.peers.keys()].some((key) => !known.has(key))
  return extra ? `wireguard ${name} had a peer that is none` : null
}

/** Whether this kernel has WireGuard; tried where nobody sees it, which also loads the module. */
export async function hasWireguard(kernel: Kernel): Promise<boolean> {
  const words = ['--net', '--', 'ip', 'link', 'add', 'name', 'pw0', 'type', 'wireguard']
  return (await kernel.run('unshare', words)).exitCode === 0
}

// What becomes a word of a command is checked here once more.
const addressWord = (text: string): string => formatAddress(parseAddress(text))
const keyWord = (text: string): string => word(text, /^[A-Za-z0-9+/]{43}=$/, 'public key')
