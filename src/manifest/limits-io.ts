import type { IoLimit } from '../model/limits.ts'
import { attempt, type Context, compare, complain, Refusal, take } from './context.ts'
import { hostPath } from './mounts.ts'
import { parseDevicePath } from './names.ts'
import { renderPath, shown } from './problem.ts'
import { parseInteger, parseSize } from './quantities.ts'
import { child, entriesOf, type Field, itemsOf, textOf } from './tree.ts'

/** `limits.io`, or what Compose's `blkio_config` says of the speed of devices; sorted by path. */
export function normalizeIo(
  context: Context,
  io: Field | null,
  blkio: Field | null,
): readonly IoLimit[] {
  const compose = ofCompose(context, blkio)
  if (io === null) return compose
  if (compose.length > 0)
    complain(context, io, new Refusal('say it here or in `blkio_config`, not in both'))
  const made = new Map<string, IoLimit>()
  for (const item of itemsOf(io)) {
    const limit = entry(context, item)
    if (limit === null) continue
    if (made.has(limit.path))
      complain(context, item, new Refusal(`${shown(limit.path)} is there twice`))
    else made.set(limit.path, limit)
  }
  return sorted(made.values())
}

/** 1 to 10000 on the scale of cgroup v2; Compose's is BFQ's own, 10 to 1000. */
export function normalizeIoWeight(
  context: Context,
  weight: Field | null,
  blkio: Field | null,
): number | null {
  const own = take<number | null>(context, weight, { parse: parseWeight, fallback: null })
  const field = child(blkio, 'weight')
  const bfq = take<number | null>(context, field, { parse: parseBfqWeight, fallback: null })
  if (bfq === null || field === null) return own
  const converted = bfq <= 100 ? bfq : 100 + (bfq - 100) * 11
  if (own !== null && own !== converted && weight !== null)
    complain(context, field, new Refusal(`it contradicts \`${renderPath(weight.path)}\``))
  return converted
}

/** The kernel's name of a page size -> bytes; sorted. */
export function normalizeHugepages(
  context: Context,
  field: Field | null,
): Readonly<Record<string, number>> {
  const sizes = entriesOf(field).flatMap(
    ([size, value]): readonly (readonly [string, number])[] => {
      const parse = (text: string) => {
        const bytes = parseSize(text)
        if (bytes % parseSize(size) !== 0)
          throw new Refusal(`expected whole pages of ${size}, got ${shown(text)}`)
        return bytes
      }
      const bytes = take<number | null>(context, value, { parse, fallback: null })
      return bytes === null ? [] : [[size, bytes]]
    },
  )
  return Object.fromEntries(sizes.sort(([a], [b]) => compare(a, b)))
}

const parseWeight = parseInteger({ what: 'weight', least: 1, most: 10_000 })
const parseBfqWeight = parseInteger({ what: 'weight', least: 10, most: 1000 })
const parseIops = parseInteger({ what: 'number of operations', least: 1, most: 2 ** 32 - 1 })

/** The kernel takes 0 as no limit at all. */
function parseRate(text: string): number {
  const rate = parseSize(text)
  if (rate < 1) throw new Refusal('a rate is at least 1 byte a second')
  return rate
}

type Rate = 'readBps' | 'writeBps' | 'readIops' | 'writeIops'

const RATES: readonly (readonly [string, Rate, (text: string) => number])[] = [
  ['read_bps', 'readBps', parseRate],
  ['write_bps', 'writeBps', parseRate],
  ['read_iops', 'readIops', parseIops],
  ['write_iops', 'writeIops', parseIops],
]

const NO_RATES = { readBps: null, writeBps: null, readIops: null, writeIops: null }

function entry(context: Context, item: Field): IoLimit | null {
  const [path, device] = [child(item, 'path'), child(item, 'device')]
  const refuse = (reason: string) => {
    complain(context, item, new Refusal(reason))
    return null
  }
  if ((path === null) === (device === null)) return refuse('say one of `path` and `device`')
  const target = path ?? device
  if (target === null) return null
  const make = () =>
    path === null ? parseDevicePath(textOf(target) ?? '') : hostPath(context, textOf(target) ?? '')
  const found = attempt<string | null>(context, target, { make, fallback: null })
  const rates: Record<Rate, number | null> = { ...NO_RATES }
  for (const [name, key, parse] of RATES)
    rates[key] = take<number | null>(context, child(item, name), { parse, fallback: null })
  if (RATES.every(([name]) => child(item, name) === null))
    return refuse('say at least one of `read_bps`, `write_bps`, `read_iops` and `write_iops`')
  return found === null ? null : { kind: path === null ? 'device' : 'path', path: found, ...rates }
}

/** A list for each kind of rate, each with `path` and `rate`: turned round, so that a device is there once. */
function ofCompose(context: Context, blkio: Field | null): readonly IoLimit[] {
  const made = new Map<string, IoLimit>()
  for (const [name, key, parse] of RATES)
    for (const item of itemsOf(child(blkio, `device_${name}`))) {
      const device = { parse: parseDevicePath, fallback: '' }
      const path = take(context, child(item, 'path'), device)
      const rate = take<number | null>(context, child(item, 'rate'), { parse, fallback: null })
      if (path === '' || rate === null) continue
      const before = made.get(path) ?? { kind: 'device', path, ...NO_RATES }
      if (before[key] !== null)
        complain(context, item, new Refusal(`${shown(path)} is there twice`))
      made.set(path, { ...before, [key]: rate })
    }
  return sorted(made.values())
}

const sorted = (limits: Iterable<IoLimit>): readonly IoLimit[] =>
  [...limits].sort((a, b) => compare(a.path, b.path))
