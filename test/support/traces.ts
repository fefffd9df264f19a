import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { layoutOf, type Roots } from '../../src/executor/linux/layout.ts'
import { bridgeName } from '../../src/network/bridge.ts'
import { eventually } from './eventually.ts'

/**
 * What one pair of state roots still holds on this machine, one readable line each; empty after the last
 * `down`. Unlike the census it says nothing of others who make containers at the same time.
 */
export function traces(roots: Roots, networks: readonly string[] = []): readonly string[] {
  const layout = layoutOf(roots)
  const bridges = networks.map((network) => bridgeName(layout.seed(...network.split('/'))))
  return [
    ...processes(roots),
    ...mounts(roots),
    ...cgroups(layout.cgroupParent),
    ...linesOf('nft', ['list', 'tables']).filter((line) => line.endsWith(` ${layout.table}`)),
    ...bridges.filter((name) => existsSync(`/sys/class/net/${name}`)),
    ...below(roots.runRoot),
    ...below(join(roots.root, 'containers')),
  ]
}

/** Wait until nothing is left. `networks`: the bridges to look for, each as `project/network`. */
export async function nothingLeft(roots: Roots, networks: readonly string[] = []): Promise<void> {
  await eventually('nothing is left', () => {
    const left = traces(roots, networks)
    if (left.length > 0) throw new Error(left.slice(0, 20).join('\n'))
    return true
  })
}

/** The living whose command line names one of the roots; a zombie has none. */
function processes({ root, runRoot }: Roots): readonly string[] {
  return numbered('/proc').flatMap((pid) => {
    const words = readOrEmpty(`/proc/${pid}/cmdline`).split('\0')
    const ours = words.some((word) => word.includes(root) || word.includes(runRoot))
    return ours ? [`process ${pid} ${words.slice(0, 3).join(' ')}`] : []
  })
}

/** In whichever mount namespace. */
function mounts({ root, runRoot }: Roots): readonly string[] {
  const lines = numbered('/proc').flatMap((pid) =>
    readOrEmpty(`/proc/${pid}/mountinfo`).split('\n'),
  )
  const ours = lines.filter((line) => line.includes(`${root}/`) || line.includes(`${runRoot}/`))
  return [...new Set(ours.map((line) => `mount ${line.split(' ')[4]}`))]
}

function cgroups(parent: string): readonly string[] {
  const top = '/sys/fs/cgroup'
  const hierarchies = ['', ...readdirSync(top)].map((name) => join(top, name, parent))
  return hierarchies.filter((path) => existsSync(path)).map((path) => `cgroup ${path}`)
}

function below(folder: string): readonly string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) =>
    join(folder, name),
  )
}

const numbered = (folder: string): readonly string[] =>
  readdirSync(folder).filter((name) => /^\d+$/.test(name))

function linesOf(file: string, args: readonly string[]): readonly string[] {
  return (spawnSync(file, args, { encoding: 'utf8' }).stdout ?? '').split('\n')
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
