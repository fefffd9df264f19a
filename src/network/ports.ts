import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { PortProtocol } from '../model/desired.ts'
import { formatAddress } from './ipv4.ts'

export interface PortHolder {
  /** `null`: listening in this network namespace, but the process cannot be seen. */
  readonly pid: number | null
  readonly command: string | null
}

interface Wanted {
  readonly protocol: PortProtocol
  readonly hostIp: string
  readonly port: number
}

/**
 * Who listens on each of these ports of this host now, on the same address or on one that covers it;
 * `null`: nobody. Reads /proc/net/tcp and tcp6, udp and udp6 (proc_net_tcp), and sctp/eps once, which takes the kernel
 * a walk over all of its sockets, and looks for a socket among the processes' descriptors only when there
 * is one.
 */
export async function portHolders(
  kernel: Kernel,
  ports: readonly Wanted[],
): Promise<readonly (PortHolder | null)[]> {
  const protocols = [...new Set(ports.map(({ protocol }) => protocol))]
  const listeners = new Map(
    await Promise.all(
      protocols.map(async (protocol) => [protocol, await listenersOf(kernel, protocol)] as const),
    ),
  )
  return Promise.all(
    ports.map(({ protocol, hostIp, port }) => {
      const holder = listeners
        .get(protocol)
        ?.find((listener) => listener.port === port && covers(listener.address, hostIp))
      return holder === undefined ? null : ownerOfSocket(kernel, holder.inode)
    }),
  )
}

async function listenersOf(kernel: Kernel, protocol: PortProtocol): Promise<readonly Listener[]> {
  if (protocol === 'sctp') return parseEndpoints((await kernel.readText(ENDPOINTS)) ?? '')
  const tables = await Promise.all(
    [`/proc/net/${protocol}`, `/proc/net/${protocol}6`].map((path) => kernel.readText(path)),
  )
  return tables.flatMap((text) => parseListeners(text ?? '', protocol))
}

export interface Listener {
  /** IPv4; `0.0.0.0` stands for every address, IPv6's `::` included. `null`: a real IPv6 address. */
  readonly address: string | null
  readonly port: number
  readonly inode: number
}

/** TCP_LISTEN; a UDP socket that takes from anybody is TCP_CLOSE (include/net/tcp_states.h). */
const LISTENING = { tcp: '0A', udp: '07' } as const

const ENDPOINTS = '/proc/net/sctp/eps'

/**
 * Whether this kernel has SCTP; looked for, the module is loaded. Without it packets pass, but nobody in a
 * container could take them.
 */
export async function hasSctp(kernel: Kernel): Promise<boolean> {
  if (await kernel.exists(ENDPOINTS)) return true
  try {
    await kernel.run('modprobe', ['sctp'])
  } catch (error) {
    if (!(error instanceof PakError) || error.code !== 'tool_missing') throw error
  }
  return kernel.exists(ENDPOINTS)
}

/** Listening endpoints of a text of /proc/net/sctp/eps: `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS...`. */
export function parseEndpoints(text: string): Listener[] {
  return text.split('\n').flatMap((line) => {
    const [, , , state, , port = '', , inode, ...addresses] = line.trim().split(/\s+/)
    if (state !== SCTP_LISTENING) return []
    const at = { port: Number(port), inode: Number(inode) }
    return addresses.map((address) => ({ ...at, address: endpointAddress(address) }))
  })
}

/** In decimal, as SCTP has the states of its sockets (include/net/sctp/constants.h). */
const SCTP_LISTENING = '10'

/** IPv6 is written in full; an endpoint of `::` takes IPv4, too. */
function endpointAddress(text: string): string | null {
  if (!text.includes(':')) return text
  return /^[0:]+$/.test(text) ? '0.0.0.0' : null
}

/** Listening sockets of a text of /proc/net/tcp, tcp6, udp or udp6. */
export function parseListeners(text: string, protocol: 'tcp' | 'udp'): Listener[] {
  return text.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
    const [address = '', port = ''] = local.split(':')
    if (state !== LISTENING[protocol] || !/^([0-9A-F]{8}|[0-9A-F]{32})$/.test(address)) return []
    return [{ address: hexAddress(address), port: Number.parseInt(port, 16), inode: Number(inode) }]
  })
}

/** Words of 32 bits in this machine's byte order; every machine that pak runs on is little-endian. */
function hexAddress(hex: string): string | null {
  if (hex.length === 8) return formatAddress(swapped(hex))
  if (/^0{32}$/.test(hex)) return '0.0.0.0'
  // ::ffff:a.b.c.d, an IPv4 address of a socket that takes both.
  return /^0{16}FFFF0000/.test(hex) ? formatAddress(swapped(hex.slice(24))) : null
}

function swapped(hex: string): number {
  const bytes = hex.match(/../g) ?? []
  return Number.parseInt(bytes.reverse().join(''), 16)
}

const covers = (listener: string | null, hostIp: string): boolean =>
  listener !== null &&
  (listener === hostIp || [listener, hostIp].includes('0.0.0.0') || hostIp === '::')

async function ownerOfSocket(kernel: Kernel, inode: number): Promise<PortHolder> {
  const wanted = `socket:[${inode}]`
  const pids = (await kernel.list('/proc')).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    if (!(await holdsSocket(kernel, pid, wanted))) continue
    const command = (await kernel.readText(`/proc/${pid}/comm`))?.trim() ?? null
    return { pid: Number(pid), command }
  }
  return { pid: null, command: null }
}

async function holdsSocket(kernel: Kernel, pid: string, wanted: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`
  try {
    for (const fd of await kernel.list(folder))
      if ((await kernel.readLink(`${folder}/${fd}`)) === wanted) return true
  } catch {
    // It ended, or it is not ours to look into: the next one may be the holder.
  }
  return false
}
