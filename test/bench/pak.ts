import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { busyboxRootfs } from '../support/busybox.ts'
import { pakSandbox } from '../support/pak.ts'
import { memoryOf, time } from './measure.ts'
import type { Peer } from './peer.ts'

export const PAK = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')

/** pak, with an agent that is started by each `up`: what a user waits for on a machine at rest. */
export async function pakPeer(text: ManifestText = manifest): Promise<Peer> {
  // As `/run` is where pak is made for; Docker's own such folder is where whoever started it put it.
  const sandbox = await pakSandbox('/dev/shm')
  const env = { PAK_ROOT: sandbox.root, PAK_RUN_ROOT: sandbox.runRoot }
  const pak = (...args: readonly string[]) =>
    time(process.execPath, [PAK, ...args], { cwd: sandbox.folder, env })
  const rootfs = await busyboxRootfs(join(sandbox.folder, 'rootfs'))
  execFileSync('tar', ['-C', rootfs, '-cf', join(sandbox.folder, 'bb.tar'), '.'])
  await fs.rm(rootfs, { recursive: true })
  pak('image', 'import', 'bb.tar', 'bb:latest')
  return {
    name: 'pak',
    round: async (count) => {
      await sandbox.write('pak.yaml', text('containers', count))
      await sandbox.run(['agent', 'stop'])
      const upMs = pak('up', '-d')
      const noopUpMs = pak('up', '-d')
      const planMs = pak('plan')
      const psMs = pak('ps')
      const memory = memoryOf(
        ({ comm, commandLine }) =>
          commandLine.startsWith(`pak agent ${sandbox.root}`) ||
          (/^(sh|dash|conmon)$/.test(comm) && commandLine.includes(sandbox.runRoot)),
      )
      return { upMs, noopUpMs, planMs, psMs, memory, downMs: pak('down', '-t', '0') }
    },
    [Symbol.asyncDispose]: () => sandbox[Symbol.asyncDispose](),
  }
}

export type ManifestText = (key: 'containers' | 'services', count: number) => string

/** The same file for pak and for Compose: a sleeping program, a memory and a CPU limit, one network. */
export function manifest(key: 'containers' | 'services', count: number): string {
  const container =
    '{image: "bb:latest", command: [sleep, "100000"], stop_grace_period: 0s, mem_limit: 64m, cpus: 0.25}'
  const lines = Array.from({ length: count }, (_, index) => `  s${index + 1}: ${container}`)
  return `name: bench\n${key}:\n${lines.join('\n')}\n`
}
