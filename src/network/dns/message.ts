import { decode, type Packet } from 'dns-packet'
import { parseIpv6 } from '../../model/ipv6.ts'
import { parseAddress } from '../ipv4.ts'

/** A query that is whole and asks one thing. `name` is lower case, without the dot at its end. */
export interface Query {
  readonly bytes: Buffer
  readonly name: string
  readonly type: string
  readonly class: string
  /** Where the question section ends in `bytes`. */
  readonly questionEnd: number
  /** RFC 6891; `null`: without. */
  readonly edns: { readonly version: number } | null
  /** What the asker can take over UDP, in bytes. */
  readonly udpBytes: number
}

/** RFC 1035, section 4.1.1; from 16 on the upper bits are in the OPT record (RFC 6891, section 6.1.3). */
export const RCODE = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  badVers: 16,
}

const HEADER_BYTES = 12
const CLASSIC_UDP_BYTES = 512
/** What passes any path unfragmented (RFC 9715). */
const UDP_BYTES = 1232

/**
 * Take a query apart: `ignored` when it deserves no answer (too short, or itself an answer: two
 * servers must never talk each other into a loop), a number is the RCODE of the refusal.
 */
export function parseQuery(bytes: Buffer): Query | number | 'ignored' {
  if (bytes.length < HEADER_BYTES || (bytes[2] ?? 0) & 0x80) return 'ignored'
  if (((bytes[2] ?? 0) >> 3) & 0xf) return RCODE.notImp
  const counts = [4, 6, 8, 10].map((offset) => bytes.readUInt16BE(offset))
  // Checked before decoding: a count alone must not make the decoder allocate.
  if (counts[0] !== 1 || counts[1] !== 0 || counts[2] !== 0 || (counts[3] ?? 0) > 2)
    return RCODE.formErr
  const questionEnd = endOfQuestion(bytes)
  const packet = questionEnd === null ? null : decodeOrNull(bytes)
  const question = packet?.questions?.[0]
  if (questionEnd === null || packet === null || question === undefined) return RCODE.formErr
  const opt = packet.additionals?.find((answer) => answer.type === 'OPT')
  const offered = opt !== undefined && 'udpPayloadSize' in opt ? Number(opt.udpPayloadSize) : 0
  return {
    bytes,
    name: question.name.toLowerCase().replace(/\.$/, ''),
    type: question.type,
    class: question.class ?? 'IN',
    questionEnd,
    edns: opt === undefined ? null : { version: 'ednsVersion' in opt ? opt.ednsVersion : 0 },
    udpBytes: Math.min(UDP_BYTES, Math.max(CLASSIC_UDP_BYTES, offered)),
  }
}

/** An answer without records. */
export function refusal(
  { bytes, questionEnd, edns }: Pick<Query, 'bytes' | 'questionEnd' | 'edns'>,
  rcode: number,
): Buffer {
  return message(bytes, { rcode, questionEnd, records: [], edns: edns !== null, truncated: false })
}

/** The same to what could not be read: without the question. */
export const misunderstood = (bytes: Buffer, rcode: number): Buffer =>
  refusal({ bytes, questionEnd: HEADER_BYTES, edns: null }, rcode)

type Type = keyof typeof TYPES

/** IANA, DNS resource record types. */
const TYPES = { A: 1, AAAA: 28, PTR: 12, SRV: 33 } as const

export interface Answer {
  readonly type: Type
  /** Addresses and names as text; of an SRV `port name`. */
  readonly data: readonly string[]
  readonly ttlSeconds: number
  /** More bytes than this are cut, with the TC bit set. */
  readonly maxBytes: number
}

/** An answer about the query's name. No data means: the name exists, it has nothing of that type. */
export function reply(query: Query, { type, data, ttlSeconds, maxBytes }: Answer): Buffer {
  const records = data.map((text) => answerRecord(type, text, ttlSeconds))
  const fixed = query.questionEnd + (query.edns === null ? 0 : OPT.length)
  let size = fixed
  const fitting = records.filter((bytes) => {
    size += bytes.length
    return size <= maxBytes
  })
  return message(query.bytes, {
    rcode: RCODE.noError,
    questionEnd: query.questionEnd,
    records: fitting,
    edns: query.edns !== null,
    truncated: fitting.length < records.length,
  })
}

/** A server's answer cut to its question, with the TC bit: ask again over TCP. */
export function truncate(query: Query): Buffer {
  const { questionEnd, edns } = query
  const parts = { rcode: RCODE.noError, questionEnd, records: [], edns: edns !== null }
  return message(query.bytes, { ...parts, truncated: true })
}

interface Parts {
  readonly rcode: number
  readonly questionEnd: number
  readonly records: readonly Buffer[]
  readonly edns: boolean
  readonly truncated: boolean
}

/** Header and question are the asker's own bytes: whatever it sent, it gets back (case included). */
function message(query: Buffer, parts: Parts): Buffer {
  const head = Buffer.from(query.subarray(0, parts.questionEnd))
  const flags = query.readUInt16BE(2)
  const QR_AND_RA = 0x8080
  const kept = flags & 0x7900 // opcode and RD
  head.writeUInt16BE(kept | QR_AND_RA | (parts.truncated ? 0x0200 : 0) | (parts.rcode & 0xf), 2)
  head.writeUInt16BE(parts.questionEnd > HEADER_BYTES ? 1 : 0, 4)
  head.writeUInt16BE(parts.records.length, 6)
  head.writeUInt16BE(0, 8)
  head.writeUInt16BE(parts.edns ? 1 : 0, 10)
  return Buffer.concat([head, ...parts.records, ...(parts.edns ? [optWith(parts.rcode)] : [])])
}

function optWith(rcode: number): Buffer {
  const record = Buffer.from(OPT)
  record[5] = rcode >> 4
  return record
}

/** RFC 6891: root name, type 41, our UDP size, upper bits of an RCODE, version 0, no flags, no options. */
const OPT = Buffer.from([0, 0, 41, UDP_BYTES >> 8, UDP_BYTES & 0xff, 0, 0, 0, 0, 0, 0])

/** The owner is a pointer to the question's name, which always stands at the same place. */
function answerRecord(type: Type, data: string, ttlSeconds: number): Buffer {
  const head = Buffer.from([0xc0, HEADER_BYTES, 0, TYPES[type], 0, 1, 0, 0, 0, 0, 0, 0])
  const body = bodyOf(type, data)
  head.writeUInt32BE(ttlSeconds, 6)
  head.writeUInt16BE(body.length, 10)
  return Buffer.concat([head, body])
}

function bodyOf(type: Type, data: string): Buffer {
  if (type === 'A') return addressBytes(data)
  if (type === 'PTR') return nameBytes(data)
  if (type === 'SRV') return serviceBytes(data)
  return Buffer.from((parseIpv6(data) ?? 0n).toString(16).padStart(32, '0'), 'hex')
}

/** RFC 2782: priority, weight, port, target. All are as good. */
function serviceBytes(data: string): Buffer {
  const [port = '0', target = ''] = data.split(' ')
  const head = Buffer.alloc(6)
  head.writeUInt16BE(1, 2)
  head.writeUInt16BE(Number(port), 4)
  return Buffer.concat([head, nameBytes(target)])
}

function addressBytes(address: string): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(parseAddress(address))
  return bytes
}

/** Labels of 63 bytes at most; what does not fit is cut, so that the message stays readable. */
function nameBytes(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(label).subarray(0, 63))
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.from([label.length]), label]),
    Buffer.from([0]),
  ])
}

/** Labels only: before the first name there is nothing that a pointer could point to. */
function endOfQuestion(bytes: Buffer): number | null {
  let at = HEADER_BYTES
  for (;;) {
    const length = bytes[at]
    if (length === undefined || length > 63 || at - HEADER_BYTES > 255) return null
    at += length + 1
    if (length === 0) return at + 4 <= bytes.length ? at + 4 : null
  }
}

function decodeOrNull(bytes: Buffer): Packet | null {
  try {
    return decode(bytes)
  } catch {
    return null
  }
}
