import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentClient } from '../../agent/client.ts'
import { PakError } from '../../errors.ts'
import type { ExecInvocation } from '../../executor/executor.ts'
import { splitWords } from '../../manifest/words.ts'
import type { ContainerSpec, DesiredState, Service } from '../../model/desired.ts'
import { ONE_OFF } from '../../model/one-off.ts'
import { withoutControl } from '../../model/text.ts'
import type { Invocation } from '../grammar.ts'
import { loadProject } from '../project.ts'
import { openAgent } from '../session.ts'
import { printProgress } from '../views/progress.ts'
import { runToEnd, variables } from './exec.ts'
import { upOptions } from './up.ts'

/** `pak run`: one container more, with a service's settings and this terminal; its exit status is pak's. */
export async function run(invocation: Invocation): Promise<number> {
  const { flags, globals, interrupts, terminal, words } = invocation
  const [name = '', ...command] = words
  const { desired, files } = await loadProject(globals, [name])
  const service = desired.services.find((known) => known.name === name)
  if (service === undefined) throw new PakError('not_found', `run \`${name}\`: no such service`)
  const tty = wantsTerminal(invocation)
  const agent = await openAgent(globals, interrupts.signal)
  const once = oneOff(invocation, { project: desired.project, service, command })
  const container = once.containerName ?? ''
  const rows = await agent.containers(desired.project)
  if (rows.some((row) => row.container === container))
    throw new PakError('conflict', `run \`${name}\`: there is a container \`${container}\``)
  const options = { ...upOptions(invocation, files), services: [once.name] }
  const request = { desired: withService(desired, once), options, expectedPlan: null }
  const made = agent.up(desired.project, { ...request, oneOff: once.name }, interrupts.signal)
  if ((await printProgress(made, invocation)) !== 0) return 125
  const { project } = desired
  const how = await agent.launch({ project, container, tty, pid: process.pid })
  interrupts.ignore()
  const exitCode = await ended(how, { tty, warn: (text) => terminal.warn(text) })
  await agent.launchEnd({ project, container, exitCode })
  if (flags.on('rm')) await remove(agent, { project, service: once.name })
  return exitCode
}

function wantsTerminal({ flags, terminal }: Invocation): boolean {
  const interactive = terminal.stdin.isTTY === true && terminal.stdout.isTTY === true
  const tty = (flags.on('tty') || interactive) && !flags.off('tty')
  if (tty && terminal.stdin.isTTY !== true)
    throw new PakError('usage', 'run -t: standard input is not a terminal', {
      hint: 'leave -t away, or give -T',
    })
  return tty
}

/** A service of its own for one container: no name, address, port, health or hook of the service's is taken. */
function oneOff(
  { flags, globals }: Invocation,
  from: {
    readonly project: string
    readonly service: Service
    readonly command: readonly string[]
  },
): Service {
  const { project, service, command } = from
  const name = `${service.name}-run-${randomBytes(4).toString('hex')}`
  const { container } = service
  const entrypoint = flags.text('entrypoint')
  const spec: ContainerSpec = {
    ...container,
    ...(entrypoint === null ? {} : { entrypoint: splitWords(entrypoint), command: [] }),
    ...(command.length === 0 ? {} : { command }),
    environment: {
      ...container.environment,
      ...variables(flags.list('env'), globals.environment),
    },
    user: flags.text('user') ?? container.user,
    workingDir: flags.text('workdir') ?? container.workingDir,
    labels: { ...container.labels, [ONE_OFF]: service.name },
    networks: container.networks.map(({ network }) => ({ network, aliases: [], ipv4: null })),
    ports: flags.on('servicePorts') ? container.ports : [],
    restart: { name: 'no', maxRetries: null },
    healthcheck: null,
    postStart: [],
    preStop: [],
  }
  const containerName = checkedName(flags.text('name')) ?? `${project}-${name}`
  const dependsOn = flags.off('deps') ? [] : service.dependsOn
  return {
    name,
    replicas: 1,
    containerName,
    endpointMode: 'dnsrr',
    affinity: 'none',
    dependsOn,
    container: spec,
  }
}

function checkedName(name: string | null): string | null {
  if (name === null || /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name)) return name
  throw new PakError('usage', `option \`--name\`: \`${withoutControl(name)}\` is not a name`)
}

const withService = (desired: DesiredState, service: Service): DesiredState => ({
  ...desired,
  services: [...desired.services, service].sort((a, b) => (a.name < b.name ? -1 : 1)),
})

/** What the runtime has to say about a command that it could not start is in its log. */
async function ended(
  how: ExecInvocation,
  { tty, warn }: { readonly tty: boolean; readonly warn: (text: string) => void },
): Promise<number> {
  const log = join(how.scratch, 'log')
  const tell = async () => {
    const text = await readFile(log, 'utf8').catch(() => '')
    for (const [, message] of text.matchAll(/"msg":\s*"((?:[^"\\]|\\.)*)"/g))
      warn(`error: run: ${withoutControl(message ?? '')}`)
  }
  return runToEnd(how, tty, tell)
}

async function remove(
  agent: AgentClient,
  { project, service }: { readonly project: string; readonly service: string },
): Promise<void> {
  const options = { graceMs: null, signal: null, force: true, detached: true }
  const removal = { action: 'rm', services: [service], options } as const
  for await (const line of agent.action(project, removal))
    if (line.type === 'result' && !line.ok)
      throw new PakError('conflict', `run --rm: ${line.failed[0]?.error.message ?? 'it stays'}`)
}
