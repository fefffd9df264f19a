import { closeSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { errorFacts } from '../errors.ts'
import { hostKernel } from '../kernel/host.ts'
import type { AgentContext, AgentParts, Roots } from './parts.ts'
import { serve } from './serve.ts'
import { portOfFd } from './sockets.ts'
import { CANNOT_START, startSupervisor } from './supervise.ts'
import { version } from './version.ts'

const [API_FD, UDP_FD, TCP_FD] = [3, 4, 5]
const O_CLOEXEC = 0o2000000
const LOG_LIMIT_BYTES = 1024 * 1024

export type PartsFactory = (context: AgentContext) => Promise<AgentParts>

/** The process that looks after containers, below its supervisor. Resolves to the exit status. */
export async function main(args: readonly string[], parts?: PartsFactory): Promise<number> {
  const { roots, stay } = optionsOf(args)
  if (process.env['PAK_SUPERVISOR'] !== String(process.ppid)) {
    process.stderr.write('agent: only its supervisor starts it; see pak agent --help\n')
    return CANNOT_START
  }
  process.title = `pak agent ${roots.root}`
  closeStrangers()
  const files = filesOf(roots)
  await truncateLong(files.log)
  try {
    return await run(roots, { stay, parts: parts ?? (await import('./assemble.ts')).assemble })
  } catch (error) {
    const facts = errorFacts(error)
    process.stderr.write(`${new Date().toISOString()} agent: ${facts.message}\n`)
    await writeFile(files.error, JSON.stringify(facts), { mode: 0o600 }).catch(() => {})
    // Whatever was opened until then must not keep a process that does nothing.
    process.exit(CANNOT_START)
  }
}

const filesOf = ({ runRoot }: Roots) => ({
  log: join(runRoot, 'agent.log'),
  error: join(runRoot, 'agent.error'),
})

/**
 * Descriptors that a careless caller left open (a lock, a pipe somebody reads to its end) must not live
 * on in monitors. Node's own are all close-on-exec, and so tell themselves apart.
 */
function closeStrangers(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    const fd = Number(name)
    if (fd > TCP_FD && isInheritable(fd)) closeSync(fd)
  }
}

/** `flags` of proc_pid_fdinfo(5) is octal and has O_CLOEXEC. */
function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0
  } catch {
    return false
  }
}

async function truncateLong(log: string): Promise<void> {
  const size = statSync(log, { throwIfNoEntry: false })?.size ?? 0
  if (size > LOG_LIMIT_BYTES) await truncate(log)
}

/** Resolves never: an agent ends by `exit`, so that a stray handle cannot keep it. */
async function run(
  roots: Roots,
  { stay, parts }: { readonly stay: boolean; readonly parts: PartsFactory },
): Promise<number> {
  const exit = () => process.exit(0)
  const desk = await serve({
    roots,
    kernel: hostKernel,
    version: version(),
    parts,
    stay,
    api: { fd: API_FD },
    dns: { udpFd: UDP_FD, tcpFd: TCP_FD, port: portOfFd(UDP_FD) },
    exit,
    succeed: () => succeed(roots),
  })
  const end = () => void desk.leaveNow().then(exit, () => process.exit(1))
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, end)
  return new Promise(() => {})
}

/** The same process once more, below a supervisor of its own, in the same mount namespace. */
function succeed({ runRoot }: Roots): void {
  const [node = process.execPath, ...args] = process.argv
  startSupervisor({
    runRoot,
    program: [node, ...process.execArgv, ...args],
    fds: [API_FD, UDP_FD, TCP_FD],
    namespace: 'own',
    detached: true,
  }).unref()
}

function optionsOf(args: readonly string[]): { readonly roots: Roots; readonly stay: boolean } {
  const { PAK_ROOT, PAK_RUN_ROOT } = process.env
  const { values } = parseArgs({
    args: [...args],
    options: {
      root: { type: 'string', default: PAK_ROOT || '/var/lib/pak' },
      'run-root': { type: 'string', default: PAK_RUN_ROOT || '/run/pak' },
      runtime: { type: 'string', default: 'crun' },
      stay: { type: 'boolean', default: false },
    },
  })
  const roots = {
    root: resolve(values.root),
    runRoot: resolve(values['run-root']),
    runtime: values.runtime,
  }
  return { roots, stay: values.stay }
}
