import { createServer } from 'node:net'
import { join } from 'node:path'
import { busyboxRootfs, lacksBusybox } from '../support/busybox.ts'
import { type PakSandbox, pakSandbox } from '../support/pak.ts'
import { hostLacks } from '../support/skip.ts'

export const lacking = hostLacks('crun', 'conmon', 'nft', 'ip') ?? lacksBusybox()

/** A sandbox with a busybox root file system in `./rootfs`. */
export async function stage(): Promise<PakSandbox> {
  const sandbox = await pakSandbox()
  await busyboxRootfs(join(sandbox.folder, 'rootfs'))
  return sandbox
}

/** Keys of a container that runs `script` and dies at once when it is told to. */
export const runs = (script: string): string =>
  ['rootfs: ./rootfs', 'stop_signal: SIGKILL', `command: [sh, -c, ${JSON.stringify(script)}]`].join(
    '\n    ',
  )

/** Keys of a container that answers HTTP on port 80 with its host name. */
export const SERVES = runs(
  'mkdir -p /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w',
)
export const SLEEPS = runs('exec sleep 100000')

export interface Row {
  readonly container: string
  readonly service: string
  readonly state: string
  readonly exitCode: number | null
  readonly pid: number
  readonly networks: Readonly<Record<string, { readonly ip: string; readonly ip6: string | null }>>
  readonly ports: readonly { readonly hostIp: string; readonly published: number }[]
}

/** What `ps -a` says, by container. */
export async function containers(
  pak: PakSandbox,
  ...options: readonly string[]
): Promise<Readonly<Record<string, Row>>> {
  const rows = await pak.json<readonly Row[]>(['ps', '-a', ...options])
  return Object.fromEntries(rows.map((row) => [row.container, row]))
}

export async function pids(pak: PakSandbox): Promise<Readonly<Record<string, number>>> {
  const rows = Object.values(await containers(pak))
  return Object.fromEntries(rows.map(({ container, pid }) => [container, pid]))
}

/** What plan, the JSON form, is relied on for. */
export interface PlanJson {
  readonly project: string
  readonly summary: Readonly<Record<string, number>>
  readonly steps: readonly {
    readonly id: string
    readonly op: string
    readonly on: string
    readonly needs: readonly string[]
    readonly destroys: boolean
    readonly because: {
      readonly kind: string
      readonly fields?: readonly {
        readonly path: string
        readonly from: unknown
        readonly to: unknown
      }[]
    }
  }[]
}

/** A TCP port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '0.0.0.0', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}
