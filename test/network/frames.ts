/** Frames as bytes, of whoever one likes: what a container with CAP_NET_RAW can send. */

interface Packet {
  readonly from: string
  readonly to: string
  readonly port: number
  readonly text: string
}

export const mac = (text: string): Buffer => Buffer.from(text.replaceAll(':', ''), 'hex')

export function address(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number))
  const [head = '', tail = ''] = text.split('::')
  const words = (part: string) => part.split(':').filter((word) => word !== '')
  const [before, after] = [words(head), words(tail)]
  const zeros = Array<string>(8 - before.length - after.length).fill('0')
  const all = [...before, ...zeros, ...after]
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex')
}

const u8 = (...values: readonly number[]) => Buffer.from(values)
const u16 = (...values: readonly number[]) =>
  Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]))

export const frame = (
  at: { readonly from: string; readonly to: string },
  type: number,
  payload: Buffer,
): Buffer => Buffer.concat([mac(at.to), mac(at.from), u16(type), payload])

/** RFC 826: somebody says that they have an address. */
export const arp = (sender: { readonly mac: string; readonly address: string }): Buffer =>
  Buffer.concat([
    u16(1, 0x0800),
    u8(6, 4),
    u16(2),
    ...[mac(sender.mac), address(sender.address)],
    ...[mac('ff:ff:ff:ff:ff:ff'), address(sender.address)],
  ])

/** UDP from port 4000, in a packet of the family of its addresses. */
export function udp({ from, to, port, text }: Packet): Buffer {
  const [source, target, body] = [address(from), address(to), Buffer.from(`${text}\n`)]
  const bare = Buffer.concat([u16(4000, port, 8 + body.length, 0), body])
  if (to.includes(':'))
    return ipv6({ from, to, next: 17 }, withSum(bare, 6, { from, to, next: 17 }))
  const head = (sum: number) =>
    Buffer.concat([u16(0x4500, 20 + bare.length, 1, 0), u8(64, 17), u16(sum), source, target])
  return Buffer.concat([head(sumOf(head(0))), bare])
}

/** RFC 4861: an advertisement of a neighbour for `target`, or of a router. */
export function advertisement(
  at: { readonly from: string; readonly to: string },
  claim: { readonly target: string | null; readonly mac: string },
): Buffer {
  const body =
    claim.target === null
      ? Buffer.concat([u8(134, 0, 0, 0, 64, 0), u16(1800, 0, 0, 0, 0), u8(1, 1), mac(claim.mac)])
      : Buffer.concat([
          ...[u8(136, 0, 0, 0, 0x60, 0, 0, 0), address(claim.target)],
          ...[u8(2, 1), mac(claim.mac)],
        ])
  return ipv6({ ...at, next: 58, hops: 255 }, withSum(body, 2, { ...at, next: 58 }))
}

function ipv6(at: { from: string; to: string; next: number; hops?: number }, body: Buffer): Buffer {
  const head = Buffer.concat([u16(0x6000, 0, body.length), u8(at.next, at.hops ?? 64)])
  return Buffer.concat([head, address(at.from), address(at.to), body])
}

/** RFC 8200, section 8.1. */
function withSum(
  body: Buffer,
  offset: number,
  at: { from: string; to: string; next: number },
): Buffer {
  const pseudo = [address(at.from), address(at.to), u16(0, body.length, 0, at.next)]
  const whole = Buffer.from(body)
  whole.writeUInt16BE(sumOf(Buffer.concat([...pseudo, body])), offset)
  return whole
}

function sumOf(bytes: Buffer): number {
  let sum = 0
  for (let n = 0; n < bytes.length; n += 2) sum += ((bytes[n] ?? 0) << 8) + (bytes[n + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x1_0000)
  return ~sum & 0xffff
}

/** For `perl -e`: sends the frames given in hexadecimal by the interface of that number (packet(7)). */
export const SEND_FRAMES = `
use strict; use Socket;
my ($index, @frames) = @ARGV;
socket(my $wire, 17, SOCK_RAW, 0) or die $!;
for my $hex (@frames) {
  send($wire, pack('H*', $hex), 0, pack('SnlSCCa8', 17, 0, $index, 0, 0, 6, pack('H12', $hex))) or die $!;
}
`
