import { branch, encode, type Instruction, load, RETURN_ALLOW, ret, returnErrno } from './bpf.ts'
import { type ArgRule, defaultProfile, type Profile } from './profile.ts'
import { type CallTable, callTables } from './tables.ts'

const EPERM = returnErrno(1)
const ENOSYS = returnErrno(38)

/** Offsets in `struct seccomp_data`: nr, arch, instruction pointer, six 64-bit arguments. */
const NUMBER_AT = 0
const ARCH_AT = 4
const lowHalfOf = (index: number): number => 16 + 8 * index

/** Set in the number of every x32 call. */
const X32_BIT = 0x40000000

const cache = new Map<string, Buffer>()

/** The default profile as BPF for this architecture (Node's word), compiled once per set of capabilities. */
export function defaultFilter(architecture: string, capabilities: readonly string[]): Buffer {
  const key = [architecture, ...[...capabilities].sort()].join(' ')
  const found = cache.get(key)
  if (found !== undefined) return found
  const filter = encode(compile(defaultProfile(capabilities), callTables(architecture)))
  cache.set(key, filter)
  return filter
}

/**
 * A profile as one classic BPF program. The convention comes first, as the same number means another call in
 * each. A convention without a table, x32 among them, gets ENOSYS for every call, as on a kernel built
 * without it: a refusal that cannot be taken for a crash of the program, and lets nothing through.
 * Calls past the end of a table are ENOSYS too: libc then falls back, as on an older kernel.
 */
export function compile(profile: Profile, tables: readonly CallTable[]): readonly Instruction[] {
  const dispatch = tables.reduceRight<readonly Instruction[]>(
    (otherwise, table) =>
      branch('equal', table.auditArch, {
        yes: [load(NUMBER_AT), ...numbersOf(profile, table)],
        no: otherwise,
      }),
    [ret(ENOSYS)],
  )
  return [load(ARCH_AT), ...dispatch]
}

interface Range {
  readonly from: number
  readonly code: readonly Instruction[]
}

function numbersOf(profile: Profile, table: CallTable): readonly Instruction[] {
  const tree = search(rangesOf(profile, table))
  if (table.ociName !== 'SCMP_ARCH_X86_64') return tree
  return branch('atLeast', X32_BIT, { yes: [ret(ENOSYS)], no: tree })
}

/** Neighbours with the same verdict are one range; ranges cover all numbers from 0 up. */
function rangesOf(profile: Profile, { numbers }: CallTable): readonly Range[] {
  const verdicts = new Map<number, readonly Instruction[]>()
  for (const [name, number] of numbers) verdicts.set(number, verdictOf(profile, name))
  const end = Math.max(...numbers.values()) + 1
  const ranges: Range[] = []
  for (let number = 0; number <= end; number += 1) {
    const code = number === end ? [ret(ENOSYS)] : (verdicts.get(number) ?? [ret(ENOSYS)])
    const previous = ranges.at(-1)
    if (previous === undefined || !sameCode(previous.code, code))
      ranges.push({ from: number, code })
  }
  return ranges
}

function verdictOf(profile: Profile, name: string): readonly Instruction[] {
  const rule = profile.conditional[name]
  if (rule !== undefined) return ruleCode(rule)
  if (profile.absent.includes(name)) return [ret(ENOSYS)]
  return [ret(profile.allowed.includes(name) ? RETURN_ALLOW : EPERM)]
}

/** The kernel takes all three of these arguments as 32 bits; a filter that saw 64 could be talked round. */
function ruleCode(rule: ArgRule): readonly Instruction[] {
  const word = load(lowHalfOf(rule.index))
  const allow = [ret(RETURN_ALLOW)]
  const refuse = [ret(EPERM)]
  if (rule.kind === 'clear')
    return [word, ...branch('anyBit', rule.bits, { yes: refuse, no: allow })]
  const [hit, miss] = rule.kind === 'oneOf' ? [allow, refuse] : [refuse, allow]
  const tests = rule.values.reduceRight<readonly Instruction[]>(
    (otherwise, value) => branch('equal', value, { yes: hit, no: otherwise }),
    miss,
  )
  return [word, ...tests]
}

function search(ranges: readonly Range[]): readonly Instruction[] {
  const middle = ranges.length >> 1
  const upper = ranges[middle]
  if (upper === undefined) return [ret(EPERM)]
  if (middle === 0) return upper.code
  return branch('atLeast', upper.from, {
    yes: search(ranges.slice(middle)),
    no: search(ranges.slice(0, middle)),
  })
}

const sameCode = (one: readonly Instruction[], other: readonly Instruction[]): boolean =>
  one.length === other.length &&
  one.every((left, index) => {
    const right = other[index]
    return (
      left.code === right?.code &&
      left.k === right.k &&
      left.jt === right.jt &&
      left.jf === right.jf
    )
  })
