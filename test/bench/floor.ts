import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { busyboxRootfs } from '../support/busybox.ts'
import { time } from './measure.ts'
import type { Peer } from './peer.ts'

/**
 * The OCI runtime alone, in a shell loop, one after another: no network, no overlay, no log, no exit code.
 * A mount namespace of its own, because crun refuses a hybrid cgroup hierarchy.
 */
export async function floorPeer(): Promise<Peer> {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-floor-'))
  await busyboxRootfs(join(folder, 'rootfs'))
  const inNamespace = (body: string, count: number) =>
    time('unshare', ['--mount', 'sh', '-ec', PREPARE + body, 'floor', folder, String(count)])
  return {
    name: 'crun in a loop',
    round: async (count) => {
      for (let index = 1; index <= count; index += 1) {
        await fs.mkdir(join(folder, String(index)), { recursive: true })
        await fs.writeFile(join(folder, String(index), 'config.json'), bundle(folder, index))
      }
      const upMs = inNamespace(UP, count)
      return {
        upMs,
        noopUpMs: null,
        planMs: null,
        psMs: null,
        memory: null,
        downMs: inNamespace(DOWN, count),
      }
    },
    [Symbol.asyncDispose]: () => fs.rm(folder, { recursive: true }),
  }
}

const PREPARE =
  'if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; mount -t tmpfs none /sys/fs/cgroup/unified; fi; '
const UP =
  'i=1; while [ $i -le $2 ]; do crun --root $1/state run -d -b $1/$i pakt-floor-$i </dev/null >/dev/null 2>&1; i=$((i+1)); done'
const DOWN =
  'i=1; while [ $i -le $2 ]; do crun --root $1/state delete -f pakt-floor-$i; i=$((i+1)); done'

function bundle(folder: string, index: number): string {
  return JSON.stringify({
    ociVersion: '1.0.2',
    root: { path: join(folder, 'rootfs'), readonly: true },
    process: {
      cwd: '/',
      args: ['/bin/sleep', '100000'],
      env: ['PATH=/bin'],
      user: { uid: 0, gid: 0 },
    },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    linux: {
      cgroupsPath: `/pakt-floor-${index}`,
      namespaces: ['pid', 'mount', 'network', 'ipc', 'uts'].map((type) => ({ type })),
      resources: { memory: { limit: 64 << 20 }, cpu: { quota: 25_000, period: 100_000 } },
    },
  })
}
