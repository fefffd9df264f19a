import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { busyboxRootfs, lacksBusybox } from './busybox.ts'
import { eventually } from './eventually.ts'
import { type PakSandbox, pakSandbox } from './pak.ts'
import { hostLacks } from './skip.ts'

/** A reason to skip what starts containers from a busybox root. */
export const fleetLacks = (): string | null =>
  hostLacks('crun', 'conmon', 'nft', 'ip') ?? lacksBusybox()

/** What scenarios read of `pak ps --format json`. */
export interface Row {
  readonly service: string
  readonly container: string
  readonly state: string
  readonly health: string | null
  readonly exitCode: number | null
  readonly restartCount: number
  readonly pid: number | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
}

/** A sandbox with a busybox root in `rootfs`, which lies beside its manifests. */
export async function busyboxSandbox(): Promise<PakSandbox> {
  const sandbox = await pakSandbox()
  await busyboxRootfs(join(sandbox.folder, 'rootfs'))
  return sandbox
}

export type Service = Readonly<Record<string, unknown>>

/** Runs until it is told to end, and then ends at once. */
export const forever = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 100 & wait; done']

/** `pak.yaml` with these services on the busybox root; JSON is YAML. */
export function manifest(
  services: Readonly<Record<string, Service>>,
  { name = 'fleet', ...rest }: Service = {},
): string {
  const containers = Object.fromEntries(
    Object.entries(services).map(([service, keys]) => [
      service,
      { rootfs: './rootfs', command: forever, ...keys },
    ]),
  )
  return JSON.stringify({ name, containers, ...rest })
}

/** Ten of them: a web server on `port`, and nine that only run. */
export function fleetOfTen(port: number): string {
  const web = {
    command: ['sh', '-c', 'echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp'],
    ports: [`${port}:80`],
  }
  const others = Array.from({ length: 9 }, (_, index) => [`s${index}`, {}] as const)
  return manifest({ web, ...Object.fromEntries(others) })
}

/** Rows of `pak ps -a` by service; the last replica of each. */
export async function ps(
  sandbox: PakSandbox,
  ...args: readonly string[]
): Promise<Readonly<Record<string, Row>>> {
  const rows = await sandbox.json<readonly Row[]>(['ps', '-a', ...args])
  return Object.fromEntries(rows.map((row) => [row.service, row]))
}

/** Processes of what runs, by service. */
export async function pids(sandbox: PakSandbox): Promise<Readonly<Record<string, number>>> {
  const rows = await ps(sandbox)
  return Object.fromEntries(
    Object.values(rows).flatMap(({ service, pid }) => (pid === null ? [] : [[service, pid]])),
  )
}

export async function pidOf(sandbox: PakSandbox, service: string): Promise<number> {
  const pid = (await pids(sandbox))[service]
  if (pid === undefined) throw new Error(`${service} does not run`)
  return pid
}

/** The agent and the supervisor above it. */
export async function agentPids(
  sandbox: PakSandbox,
): Promise<{ readonly agent: number; readonly supervisor: number }> {
  const { pid } = JSON.parse(await readFile(join(sandbox.runRoot, 'agent.json'), 'utf8')) as {
    readonly pid: number
  }
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return { agent: pid, supervisor: Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) }
}

/** SIGKILL, and wait until they are gone; who reaps them may take its time. */
export async function killed(...pids: readonly number[]): Promise<void> {
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  for (const pid of pids) await eventually(`process ${pid} is gone`, () => isGone(pid))
}

async function isGone(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  return stat === null || /\) [ZX]/.test(stat)
}

/** A TCP port of this host that nobody holds now. */
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
