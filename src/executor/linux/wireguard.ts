import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import { withHostLock } from '../../kernel/host-lock.ts'
import type { Network } from '../../model/desired.ts'
import {
  hasWireguard,
  type Wireguard,
  wireguardAddress,
  wireguardMtu,
} from '../../network/wireguard.ts'
import type { LinuxHost } from './host.ts'
import type { NetworkRecord } from './records.ts'

/** The device that a network's tunnel goes through, as it should be; `null` where it is not encrypted. */
export function wireguardOf({ spec, tunnel }: NetworkRecord): Wireguard | null {
  const { overlay } = spec
  if (overlay?.wireguardPort === undefined || tunnel?.wireguard === undefined) return null
  const own = overlay.peers.find(({ name }) => name === overlay.host)
  if (own === undefined) return null
  return {
    name: tunnel.wireguard,
    port: overlay.wireguardPort,
    mtu: wireguardMtu(tunnel.underlayMtu),
    address: wireguardAddress(own.range),
    publicKey: own.publicKey ?? '',
    peers: overlay.peers
      .filter((peer) => peer !== own)
      .map(({ publicKey = '', address, range }) => ({
        publicKey,
        endpoint: address,
        address: wireguardAddress(range),
      })),
  }
}

/** Where this machine's key lies; never on a command line. */
export const keyFile = ({ layout }: LinuxHost): string => join(layout.root, 'wireguard.key')

/** This machine's public key, in base64. The first who asks makes the pair: mode 0600, for good. */
export function publicKey(host: LinuxHost): Promise<string> {
  return withHostLock('wireguard', async () => {
    const file = keyFile(host)
    const held = await host.kernel.readText(file)
    if (held !== null) return publicOf(held.trim(), file)
    const made = generateKeyPairSync('x25519').privateKey.export({ format: 'der', type: 'pkcs8' })
    const text = made.subarray(-KEY_BYTES).toString('base64')
    await host.kernel.replaceFile(file, `${text}\n`, 0o600)
    return publicOf(text, file)
  })
}

const KEY_BYTES = 32
/** RFC 8410, section 7: all that stands before the key itself. */
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex')

function publicOf(text: string, file: string): string {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== text)
    throw new PakError('host', `read \`${file}\`: not a key of WireGuard`, {
      hint: 'without the file pak makes a new one; its public key is then another',
    })
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, bytes]),
    format: 'der',
    type: 'pkcs8',
  })
  const whole = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return whole.subarray(-KEY_BYTES).toString('base64')
}

/** Why a network cannot be encrypted here; `null`: it can. */
export async function wireguardObstacle(
  host: LinuxHost,
  { name, overlay }: Network,
): Promise<PakError | null> {
  if (overlay?.encrypted !== true) return null
  try {
    await host.kernel.run('wg', ['--version'])
  } catch (error) {
    if (error instanceof PakError) return error
    throw error
  }
  if (!(await hasWireguard(host.kernel)))
    return new PakError('host', `encrypt network \`${name}\`: this kernel has no WireGuard`, {
      hint: 'leave `encrypted` out, and what its containers say is readable between the machines',
    })
  const own = overlay.peers.find((peer) => peer.name === overlay.host)
  const key = await publicKey(host)
  if (own?.publicKey === key) return null
  return new PakError(
    'conflict',
    `encrypt network \`${name}\`: the \`public_key\` of \`${overlay.host}\` is not this machine's`,
    { hint: `here it is ${key}` },
  )
}
