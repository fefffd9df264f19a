import type { Limits } from '../model/limits.ts'
import { type Context, complain, Refusal, take } from './context.ts'
import { renderPath, shown } from './problem.ts'
import { parseCpu, parseCpuset, parseInteger, parseSize } from './quantities.ts'
import { child, type Field, textOf } from './tree.ts'

/** `limits` of the project. */
export function normalizeLimits(context: Context, field: Field | null): Limits {
  return normalize(context, (name) => [child(field, name)])
}

/** `limits` of a service and all its aliases; two that contradict each other are an error. */
export function normalizeServiceLimits(context: Context, service: Field): Limits {
  const limits = child(service, 'limits')
  const compose = child(child(child(service, 'deploy'), 'resources'), 'limits')
  const aliases: Readonly<Record<LimitName, readonly (Field | null)[]>> = {
    cpu: [child(service, 'cpus'), child(compose, 'cpus')],
    memory: [child(service, 'mem_limit'), child(compose, 'memory')],
    swap: [],
    pids: [child(service, 'pids_limit'), child(compose, 'pids')],
    cpu_weight: [],
    cpuset: [child(service, 'cpuset')],
  }
  const made = normalize(context, (name) => [child(limits, name), ...aliases[name]])
  return withSwap(context, service, withShares(context, service, made))
}

type LimitName = 'cpu' | 'memory' | 'swap' | 'pids' | 'cpu_weight' | 'cpuset'

function normalize(
  context: Context,
  fields: (name: LimitName) => readonly (Field | null)[],
): Limits {
  return {
    cpuMillis: agreed(context, fields('cpu'), parseCpu),
    cpuWeight: agreed(context, fields('cpu_weight'), parseWeight),
    cpuset: agreed(context, fields('cpuset'), parseCpuset),
    memoryBytes: agreed(context, fields('memory'), parseMemory),
    swapBytes: agreed(context, fields('swap'), parseSize),
    pids: agreed(context, fields('pids'), parsePids),
  }
}

const parseWeight = parseInteger({ what: 'weight', least: 1, most: 10_000 })

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
