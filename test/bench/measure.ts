import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

export interface CommandOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** Milliseconds that a command took. Throws with what it printed when its exit status is not 0. */
export function time(file: string, args: readonly string[], options: CommandOptions = {}): number {
  const started = process.hrtime.bigint()
  const { status, stdout, stderr, error } = spawnSync(file, args, {
    encoding: 'utf8',
    ...options,
    env: { ...bareEnvironment(), ...options.env },
  })
  const tookMs = Number(process.hrtime.bigint() - started) / 1e6
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${status}\n${stdout}${stderr}`)
  return tookMs
}

/** A variable that names certificates triples the time in which Node starts: nobody gets it here. */
function bareEnvironment(): Record<string, string | undefined> {
  const { NODE_EXTRA_CA_CERTS: _, ...rest } = process.env
  return rest
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

export interface Memory {
  readonly processes: number
  readonly rssKiB: number
  /** Pages that several processes share are divided among them: the honest sum. */
  readonly pssKiB: number
}

/** Memory of all processes that `belongs` says yes to. */
export function memoryOf(belongs: (process: ProcessFacts) => boolean): Memory {
  const chosen = processes().filter(belongs)
  const rollups = chosen.map(({ pid }) => readOrEmpty(`/proc/${pid}/smaps_rollup`))
  const sum = (key: string) =>
    rollups.reduce(
      (total, text) => total + Number(new RegExp(`^${key}: +(\\d+)`, 'm').exec(text)?.[1] ?? 0),
      0,
    )
  return { processes: chosen.length, rssKiB: sum('Rss'), pssKiB: sum('Pss') }
}

/** CPU time of all of them since they began, in milliseconds: USER_HZ is 100 on every architecture that Linux has. */
export function cpuMsOf(belongs: (process: ProcessFacts) => boolean): number {
  return processes()
    .filter(belongs)
    .reduce((total, { pid }) => {
      const stat = readOrEmpty(`/proc/${pid}/stat`)
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return total + (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * 10
    }, 0)
}

export interface ProcessFacts {
  readonly pid: number
  readonly comm: string
  readonly commandLine: string
}

function processes(): readonly ProcessFacts[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({
      pid: Number(name),
      comm: readOrEmpty(`/proc/${name}/comm`).trim(),
      commandLine: readOrEmpty(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim(),
    }))
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
