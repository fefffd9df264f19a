import { existsSync, readdirSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busyboxRootfs } from '../support/busybox.ts'
import { pakSandbox } from '../support/pak.ts'
import { docker, importImage } from './compose.ts'
import { time } from './measure.ts'
import { PAK } from './pak.ts'
import { pidsIn, type Steady } from './running.ts'

const CGROUPS = existsSync('/sys/fs/cgroup/cgroup.controllers')
  ? '/sys/fs/cgroup'
  : '/sys/fs/cgroup/memory'

function manifest(key: 'containers' | 'services', image: string, count: number): string {
  const lines = Array.from(
    { length: count },
    (_, index) =>
      `  s${index + 1}: {${image}, command: [sleep, "100000"], stop_grace_period: 0s, mem_limit: 64m, cpus: 0.25, restart: always}`,
  )
  return `name: bench\n${key}:\n${lines.join('\n')}\n`
}

export async function steadyPak(count: number): Promise<Steady> {
  const sandbox = await pakSandbox('/dev/shm')
  const env = { PAK_ROOT: sandbox.root, PAK_RUN_ROOT: sandbox.runRoot }
  await busyboxRootfs(join(sandbox.folder, 'rootfs'))
  await sandbox.write('pak.yaml', manifest('containers', 'rootfs: ./rootfs', count))
  await sandbox.ok(['up', '-d'])
  const parent = readdirSync(CGROUPS).find(
    (name) => name.startsWith('pak') && existsSync(join(CGROUPS, name, 'bench/bench-s1-1')),
  )
  const file = join(CGROUPS, parent ?? 'pak', 'bench/bench-s1-1/cgroup.procs')
  return {
    name: 'pak',
    belongs: ({ comm, commandLine }) =>
      commandLine.startsWith(`pak agent ${sandbox.root}`) ||
      (comm === 'nft' && commandLine.includes('monitor')) ||
      (/^(sh|dash|conmon)$/.test(comm) && commandLine.includes(sandbox.runRoot)),
    look: () => time(process.execPath, [PAK, 'stats', '--no-stream'], { cwd: sandbox.folder, env }),
    victim: () => pidsIn(file),
    [Symbol.asyncDispose]: () => sandbox[Symbol.asyncDispose](),
  }
}

/** With a daemon that runs already; `null`: none does. */
export async function steadyCompose(count: number): Promise<Steady | null> {
  const server = docker('version', '--format', '{{.Server.Version}}')
  if (server === null) return null
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-compose-'))
  await importImage(folder)
  await fs.writeFile(
    join(folder, 'compose.yaml'),
    manifest('services', 'image: "bb:latest"', count),
  )
  const compose = (...args: readonly string[]) =>
    time('docker', ['compose', ...args], { cwd: folder })
  compose('up', '-d')
  const id = docker('compose', '--project-directory', folder, 'ps', '-q', 's1') ?? ''
  const file = join(CGROUPS, 'docker', id, 'cgroup.procs')
  return {
    name: `docker compose, dockerd ${server}`,
    belongs: ({ comm }) => /^(dockerd|containerd|docker-proxy)/.test(comm),
    look: () => time('docker', ['stats', '--no-stream']),
    victim: () => pidsIn(file),
    [Symbol.asyncDispose]: async () => {
      compose('down', '-t', '0')
      docker('image', 'rm', 'bb:latest')
      await fs.rm(folder, { recursive: true })
    },
  }
}
