import { parseArgs } from 'node:util'
import { errorFacts } from '../errors.ts'
import { hostKernel } from '../kernel/host.ts'
import type { AgentContext, AgentParts, Roots } from './parts.ts'
import { serve } from './serve.ts'
import { portOfFd } from './sockets.ts'
import { startSupervisor } from './supervise.ts'
import { version } from './version.ts'

const [API_FD, UDP_FD, TCP_FD] = [3, 4, 5]

export type PartsFactory = (context: AgentContext) => Promise<AgentParts>

/**
 * `pak agent run`: the process that looks after containers. Below a supervisor it serves; started by
 * hand or by a service manager it becomes the parent of a supervisor. Resolves to the exit status.
 */
export async function main(args: readonly string[], parts?: PartsFactory): Promise<number> {
  const roots = rootsOf(args)
  if (process.env['PAK_SUPERVISOR'] !== String(process.ppid)) {
    const { superviseInForeground } = await import('./launch.ts')
    return superviseInForeground(roots)
  }
  process.title = `pak agent ${roots.root}`
  try {
    return await run(roots, parts ?? (await import('./assemble.ts')).assemble)
  } catch (error) {
    const { message, hint } = errorFacts(error)
    process.stderr.write(
      `${new Date().toISOString()} agent: ${message}${hint ? `\n  ${hint}` : ''}\n`,
    )
    return 1
  }
}

/** Resolves never: an agent ends by `exit`, so that a stray handle cannot keep it. */
async function run(roots: Roots, parts: PartsFactory): Promise<number> {
  const exit = () => process.exit(0)
  const desk = await serve({
    roots,
    kernel: hostKernel,
    version: version(),
    parts,
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

function rootsOf(args: readonly string[]): Roots {
  const { values } = parseArgs({
    args: [...args],
    options: {
      root: { type: 'string', default: '/var/lib/pak' },
      'run-root': { type: 'string', default: '/run/pak' },
      runtime: { type: 'string', default: 'crun' },
    },
  })
  return { root: values.root, runRoot: values['run-root'], runtime: values.runtime }
}
