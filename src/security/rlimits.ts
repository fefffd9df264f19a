import type { Ulimit } from '../model/desired.ts'

/** A hard and soft limit; `Infinity` is unlimited. */
export interface HostLimit {
  readonly soft: number
  readonly hard: number
}

export interface ClampedRlimits {
  /** In the runtime-spec's form; unlimited is a number close below 2^64. */
  readonly rlimits: readonly {
    readonly type: string
    readonly soft: number
    readonly hard: number
  }[]
  /** One line for each limit that had to be lowered. */
  readonly notes: readonly string[]
}

/** Close below RLIM_INFINITY, 2^64-1, which no number of JavaScript is; as JSON it must stay below 2^64. */
const UNLIMITED = 18446744073709550000

/** Rows of `/proc/PID/limits`, in the words of ulimit. */
const ROWS: Readonly<Record<string, string>> = {
  'Max cpu time': 'cpu',
  'Max file size': 'fsize',
  'Max data size': 'data',
  'Max stack size': 'stack',
  'Max core file size': 'core',
  'Max resident set': 'rss',
  'Max processes': 'nproc',
  'Max open files': 'nofile',
  'Max locked memory': 'memlock',
  'Max address space': 'as',
  'Max file locks': 'locks',
  'Max pending signals': 'sigpending',
  'Max msgqueue size': 'msgqueue',
  'Max nice priority': 'nice',
  'Max realtime priority': 'rtprio',
  'Max realtime timeout': 'rttime',
}

/**
 * Without CAP_SYS_RESOURCE nobody may raise a hard limit, and a runtime that tries fails the whole
 * container: lower what was asked for, and say so. `nofile` never goes past `fs.nr_open`.
 */
export function clampRlimits(
  ulimits: readonly Ulimit[],
  host: {
    readonly limits: Readonly<Record<string, HostLimit>>
    readonly mayRaise: boolean
    readonly nrOpen: number
  },
): ClampedRlimits {
  const notes: string[] = []
  const rlimits = ulimits.map(({ name, soft, hard }) => {
    const own = host.mayRaise ? Number.POSITIVE_INFINITY : (host.limits[name]?.hard ?? Infinity)
    const ceiling = name === 'nofile' ? Math.min(own, host.nrOpen) : own
    const wantedHard = hard === -1 ? Infinity : hard
    const givenHard = Math.min(wantedHard, ceiling)
    // Unlimited means "as much as there is", so only a number that could not be had is worth a line.
    if (givenHard < wantedHard && hard !== -1)
      notes.push(
        `ulimit ${name}: ${hard} lowered to ${givenHard}, more may not be set on this host`,
      )
    const givenSoft = Math.min(soft === -1 ? Infinity : soft, givenHard)
    return {
      type: `RLIMIT_${name.toUpperCase()}`,
      soft: finite(givenSoft),
      hard: finite(givenHard),
    }
  })
  return { rlimits, notes }
}

/** Parses `/proc/PID/limits` (proc(5)); rows that pak has no name for are left out. */
export function parseLimits(text: string): Readonly<Record<string, HostLimit>> {
  const rows = text.split('\n').flatMap((line) => {
    const name = Object.keys(ROWS).find((row) => line.startsWith(row))
    const [soft, hard] = name === undefined ? [] : line.slice(name.length).trim().split(/\s+/)
    const key = name === undefined ? undefined : ROWS[name]
    if (key === undefined || soft === undefined || hard === undefined) return []
    return [[key, { soft: limitValue(soft), hard: limitValue(hard) }] as const]
  })
  return Object.fromEntries(rows)
}

const limitValue = (text: string): number => (text === 'unlimited' ? Infinity : Number(text))
const finite = (value: number): number => (Number.isFinite(value) ? value : UNLIMITED)
