import type { Limits } from '../model/limits.ts'
import { type Context, complain, Refusal, take } from './context.ts'
import { normalizeHugepages, normalizeIo, normalizeIoWeight } from './limits-io.ts'
import { renderPath, shown } from './problem.ts'
import { parseCpu, parseCpuset, parseDuration, parseInteger, parseSize } from './quantities.ts'
import { child, type Field, textOf } from './tree.ts'

/** `limits` of the project. */
export function normalizeLimits(context: Context, limits: Field | null): Limits {
  for (const name of ['swappiness', 'oom']) {
    const own = child(limits, name)
    if (own !== null)
      complain(context, own, new Refusal(`\`${name}\` is said for a container, not for a project`))
  }
  const made = normalize({ context, limits, blkio: null, aliases: {} })
  return bounded(context, limits, { ...made, oom: null, swappiness: null })
}

/** `limits` of a service and all its aliases; two that contradict each other are an error. */
export function normalizeServiceLimits(context: Context, service: Field): Limits {
  const limits = child(service, 'limits')
  const resources = child(child(service, 'deploy'), 'resources')
  const compose = child(resources, 'limits')
  const reserved = child(child(resources, 'reservations'), 'memory')
  const aliases = {
    cpu: [child(service, 'cpus'), child(compose, 'cpus')],
    memory: [child(service, 'mem_limit'), child(compose, 'memory')],
    memory_reservation: [child(service, 'mem_reservation'), reserved],
    swappiness: [child(service, 'mem_swappiness')],
    pids: [child(service, 'pids_limit'), child(compose, 'pids')],
    cpuset: [child(service, 'cpuset')],
  }
  const made = normalize({ context, limits, blkio: child(service, 'blkio_config'), aliases })
  const cpu = withQuota(context, service, withShares(context, service, made))
  return bounded(context, limits ?? service, withSwap(context, service, cpu))
}

type LimitName =
  | 'cpu'
  | 'cpu_burst'
  | 'cpu_weight'
  | 'cpuset'
  | 'memory'
  | 'memory_high'
  | 'memory_reservation'
  | 'swap'
  | 'swappiness'
  | 'pids'

interface Written {
  readonly context: Context
  readonly limits: Field | null
  readonly blkio: Field | null
  /** Compose's words for the same. */
  readonly aliases: Readonly<Partial<Record<LimitName, readonly (Field | null)[]>>>
}

function normalize({ context, limits, blkio, aliases }: Written): Limits {
  const read = <T>(name: LimitName, parse: (text: string) => T | null) =>
    agreed(context, [child(limits, name), ...(aliases[name] ?? [])], parse)
  return {
    cpuMillis: read('cpu', parseCpu),
    cpuBurstMillis: read('cpu_burst', parseCpu),
    cpuWeight: read('cpu_weight', parseWeight),
    cpuset: read('cpuset', parseCpuset),
    memoryBytes: read('memory', parseMemory),
    memoryHighBytes: read('memory_high', parseMemory),
    memoryReservationBytes: read('memory_reservation', parseSize),
    swapBytes: read('swap', parseSize),
    swappiness: read('swappiness', parseSwappiness),
    pids: read('pids', parsePids),
    io: normalizeIo(context, child(limits, 'io'), blkio),
    ioWeight: normalizeIoWeight(context, child(limits, 'io_weight'), blkio),
    hugepages: normalizeHugepages(context, child(limits, 'hugepages')),
    oom: textOf(child(limits, 'oom')) === 'process' ? 'process' : 'container',
  }
}

const parseWeight = parseInteger({ what: 'weight', least: 1, most: 10_000 })
const parseSwappiness = parseInteger({ what: 'swappiness', least: 0, most: 100 })

/** Pairs of limits that the kernel, or reason, does not take. */
function bounded(context: Context, owner: Field | null, limits: Limits): Limits {
  const { cpuMillis, cpuBurstMillis, memoryBytes, memoryReservationBytes } = limits
  const refuse = (name: string, reason: string) => {
    const field = child(owner, name) ?? owner
    if (field !== null && !context.problems.covers(field.path))
      complain(context, field, new Refusal(reason))
  }
  if (cpuBurstMillis !== null && cpuMillis === null)
    refuse('cpu_burst', '`cpu_burst` needs a `cpu` limit')
  else if ((cpuBurstMillis ?? 0) > (cpuMillis ?? 0))
    refuse('cpu_burst', '`cpu_burst` is more than `cpu`, which the kernel does not take')
  if (memoryReservationBytes !== null && memoryReservationBytes > (memoryBytes ?? Infinity))
    refuse('memory_reservation', 'more memory is reserved than the memory limit allows')
  return limits
}

function parseMemory(text: string): number {
  const bytes = parseSize(text)
  if (bytes < 512 * 1024) throw new Refusal(`a memory limit is at least 512k, got ${shown(text)}`)
  return bytes
}

const parsePidCount = parseInteger({ what: 'number of processes', least: 1, most: 4_194_304 })
const parsePids = (text: string) => (text === '-1' ? null : parsePidCount(text))

/** The value that all fields that are there give; `null` when there is none. */
export function agreed<T>(
  context: Context,
  fields: readonly (Field | null)[],
  parse: (text: string) => T | null,
): T | null {
  let first: { readonly field: Field; readonly value: T | null } | null = null
  for (const field of fields) {
    if (field === null || textOf(field) === null) continue
    const value = take<T | null>(context, field, { parse, fallback: null })
    if (first === null) first = { field, value }
    else if (value !== first.value && !context.problems.covers(first.field.path))
      complain(context, field, new Refusal(`it contradicts \`${renderPath(first.field.path)}\``))
  }
  return first?.value ?? null
}

/** Docker's shares (2 to 262144) on the scale of cgroup v2 weights, as the OCI runtimes convert them. */
function withShares(context: Context, service: Field, limits: Limits): Limits {
  const field = child(service, 'cpu_shares')
  const shares = take<number | null>(context, field, { parse: parseShares, fallback: null })
  if (field === null || shares === null) return limits
  const cpuWeight = 1 + Math.floor(((shares - 2) * 9999) / 262_142)
  if (limits.cpuWeight !== null && limits.cpuWeight !== cpuWeight)
    complain(context, field, new Refusal('it contradicts `limits.cpu_weight`'))
  return { ...limits, cpuWeight }
}

const parseShares = parseInteger({ what: 'CPU shares', least: 2, most: 262_144 })

/** The kernel's own words: microseconds of CPU time in each period. */
function withQuota(context: Context, service: Field, limits: Limits): Limits {
  const [quotaField, periodField] = [child(service, 'cpu_quota'), child(service, 'cpu_period')]
  const fallback = DEFAULT_PERIOD_USEC
  const period = take(context, periodField, { parse: parsePeriod, fallback })
  if (quotaField === null) {
    if (periodField !== null)
      complain(context, periodField, new Refusal('`cpu_period` needs a `cpu_quota`'))
    return limits
  }
  const parse = (text: string) => (/^(-1|0)$/.test(text) ? null : parseQuota(text))
  const quota = take<number | null>(context, quotaField, { parse, fallback: null })
  if (quota === null || context.problems.covers(quotaField.path)) return limits
  const cpuMillis = Math.round((quota * 1000) / period)
  if (cpuMillis < 10) complain(context, quotaField, new Refusal('a CPU limit is at least 1%'))
  if (limits.cpuMillis !== null && limits.cpuMillis !== cpuMillis)
    complain(context, quotaField, new Refusal('it contradicts another CPU limit of this service'))
  return { ...limits, cpuMillis }
}

const DEFAULT_PERIOD_USEC = 100_000
const parseQuota = parseInteger({ what: 'CPU quota', least: 1000, most: 10 ** 12 })
const periodOf = parseInteger({ what: 'CPU period', least: 1000, most: 1_000_000 })
/** Microseconds, or a duration as Compose also takes it. */
const parsePeriod = (text: string): number =>
  periodOf(/^[0-9]+$/.test(text) ? text : String(parseDuration(text) * 1000))

/** Compose's `memswap_limit` counts memory and swap together. */
function withSwap(context: Context, service: Field, limits: Limits): Limits {
  const field = child(service, 'memswap_limit')
  const text = textOf(field)
  if (field === null || text === null || text === '0' || context.problems.covers(field.path))
    return limits
  const refuse = (reason: string) => {
    complain(context, field, new Refusal(reason))
    return limits
  }
  if (text === '-1')
    return limits.swapBytes === null ? limits : refuse('it contradicts `limits.swap`')
  if (limits.memoryBytes === null) return refuse('`memswap_limit` needs a memory limit')
  const swapBytes = take(context, field, { parse: parseSize, fallback: 0 }) - limits.memoryBytes
  if (swapBytes < 0) return refuse('memory and swap together are less than the memory alone')
  if (limits.swapBytes !== null && limits.swapBytes !== swapBytes)
    return refuse('it contradicts `limits.swap`')
  return { ...limits, swapBytes }
}
