import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Everything that containers may leave behind on a machine, one readable line each. */
export type Census = ReadonlySet<string>

/** What is here now: links, network namespaces, nft tables, cgroups, mounts, processes, files. */
export function census(): Census {
  return new Set([
    ...links(),
    ...listing('netns', '/run/netns'),
    ...nftTables(),
    ...cgroups('/sys/fs/cgroup', 4),
    ...mounts(),
    ...processes(),
    ...files('/run/pak'),
    ...listing('state', '/var/lib/pak'),
    ...listing('file', '/tmp').filter((line) => /^file \/tmp\/pak(t|-)/.test(line)),
  ])
}

/** `+ left behind` and `- taken away` lines; empty when both agree. */
export function censusDifference(before: Census, after: Census): readonly string[] {
  const gone = [...before].filter((line) => !after.has(line)).map((line) => `- ${line}`)
  const left = [...after].filter((line) => !before.has(line)).map((line) => `+ ${line}`)
  return [...gone, ...left].sort()
}

/** Who ran while a line of the census came or went: one file, or the two that ran together. */
export class CensusWatch {
  readonly #starts = new Map<string, Census>()
  readonly #changes: { readonly who: string; readonly lines: ReadonlySet<string> }[] = []

  turn(who: string, at: 'start' | 'end'): void {
    const before = this.#starts.get(who)
    if (at === 'start') this.#starts.set(who, census())
    else if (before !== undefined)
      this.#changes.push({ who, lines: new Set(censusDifference(before, census())) })
  }

  /** As an end of the line of a difference. */
  whose(line: string): string {
    const names = this.#changes.filter(({ lines }) => lines.has(line)).map(({ who }) => who)
    return names.length === 0 ? '' : `  (${names.join(' or ')})`
  }
}

function links(): string[] {
  return jsonOf<{ ifname: string }>('ip', ['-j', 'link', 'show']).map(
    ({ ifname }) => `link ${ifname}`,
  )
}

function nftTables(): string[] {
  const shown = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' })
  return (shown.stdout ?? '')
    .split('\n')
    .filter(Boolean)
    .map((line) => `nft ${line}`)
}

function cgroups(folder: string, depth: number): string[] {
  if (depth === 0) return []
  return foldersIn(folder).flatMap((name) => {
    const path = join(folder, name)
    const here = /(^|\/)(pak|libpod|crun|conmon)/.test(path.slice('/sys/fs/cgroup'.length + 1))
    return [...(here ? [`cgroup ${path}`] : []), ...cgroups(path, depth - 1)]
  })
}

function mounts(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => line.split(' ').slice(0, 3).join(' '))
    .map((line) => `mount ${line}`)
}

/** Only the living: who reaps what a monitor leaves behind is the machine's first process's business. */
function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const command = readOrEmpty(`/proc/${pid}/comm`).trim()
      const words = readOrEmpty(`/proc/${pid}/cmdline`).split('\0').filter(Boolean)
      const title = words.find((word) => /^pak (agent|supervisor)/.test(word))
      if (title !== undefined) return [`process ${pid} ${title}`]
      return words.length > 0 && /^(conmon|crun|runc)$/.test(command)
        ? [`process ${pid} ${command}`]
        : []
    })
}

function files(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
    (name) => `file ${join(folder, name)}`,
  )
}

const listing = (noun: string, folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).map((name) => `${noun} ${join(folder, name)}`) : []

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  } catch {
    // A cgroup may end between two reads.
    return []
  }
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function jsonOf<T>(file: string, args: readonly string[]): T[] {
  const { stdout } = spawnSync(file, args, { encoding: 'utf8' })
  return stdout ? (JSON.parse(stdout) as T[]) : []
}
