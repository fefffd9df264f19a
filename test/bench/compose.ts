import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busyboxRootfs } from '../support/busybox.ts'
import { memoryOf, time } from './measure.ts'
import { type ManifestText, manifest } from './pak.ts'
import type { Peer } from './peer.ts'

/** Docker Compose with a daemon that runs already; a string says why it cannot take part. */
export async function composePeer(text: ManifestText = manifest): Promise<Peer | string> {
  const version = docker('compose', 'version', '--short')
  if (version === null) return 'Docker Compose v2 is not installed'
  const server = docker('version', '--format', '{{.Server.Version}}')
  if (server === null) return 'no Docker daemon answers'
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-compose-'))
  await importImage(folder)
  const compose = (...args: readonly string[]) =>
    time('docker', ['compose', ...args], { cwd: folder })
  return {
    name: `docker compose ${version}, dockerd ${server}`,
    round: async (count) => {
      await fs.writeFile(join(folder, 'compose.yaml'), text('services', count))
      const upMs = compose('up', '-d')
      const noopUpMs = compose('up', '-d')
      const psMs = compose('ps')
      const memory = memoryOf(({ comm }) => /^(dockerd|containerd|docker-proxy)/.test(comm))
      return { upMs, noopUpMs, planMs: null, psMs, memory, downMs: compose('down', '-t', '0') }
    },
    [Symbol.asyncDispose]: async () => {
      docker('compose', '--project-directory', folder, 'down', '-t', '0')
      docker('image', 'rm', 'bb:latest')
      await fs.rm(folder, { recursive: true })
    },
  }
}

/** What it printed; `null` when it did not work. */
export function docker(...args: readonly string[]): string | null {
  const { status, stdout } = spawnSync('docker', args, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : null
}

export async function importImage(folder: string): Promise<void> {
  const rootfs = await busyboxRootfs(join(folder, 'rootfs'))
  execFileSync('tar', ['-C', rootfs, '-cf', join(folder, 'bb.tar'), '.'])
  execFileSync('docker', ['import', join(folder, 'bb.tar'), 'bb:latest'], { stdio: 'ignore' })
  await fs.rm(rootfs, { recursive: true })
}
