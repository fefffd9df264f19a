import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentClient } from '../../agent/client.ts'
import type { ContainerRow } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

const POLL_MS = 100

/**
 * `pak wait`: prints the exit code of each container of these services as it ends, and exits with the
 * last one's. With `--down-project` the first end is enough, and the project is taken down.
 */
export async function wait(invocation: Invocation): Promise<number> {
  const { flags, globals, interrupts, terminal, words } = invocation
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const first = flags.on('downProject')
  let last = 0
  const ends = endsOf(agent, { project, services: words, signal: interrupts.signal })
  for await (const exitCode of ends) {
    await terminal.print(`${exitCode}\n`)
    last = exitCode
    if (first) break
  }
  if (first) {
    const [{ down }, { printProgress }] = await Promise.all([
      import('./down.ts'),
      import('../views/progress.ts'),
    ])
    const failed = await printProgress(down(invocation), invocation)
    if (failed) return failed
  }
  return last & 0xff
}

interface Wanted {
  readonly project: string
  readonly services: readonly string[]
  readonly signal: AbortSignal
}

/** Exit codes in the order in which the containers that there are now end. */
async function* endsOf(agent: AgentClient, wanted: Wanted): AsyncGenerator<number> {
  const { project, services, signal } = wanted
  const begun = rowsOf(await agent.containers(project), services)
  const missing = services.find((name) => !begun.some(({ service }) => service === name))
  if (missing !== undefined)
    throw new PakError('not_found', `wait for \`${missing}\`: no such service in ${project}`, {
      hint: 'pak ps -a lists what there is',
    })
  const open = new Map(begun.map((row) => [row.container, row]))
  for (;;) {
    const rows = new Map((await agent.containers(project)).map((row) => [row.container, row]))
    for (const [container, before] of open) {
      const exitCode = await endOf(agent, before, rows.get(container) ?? null)
      if (exitCode === null) continue
      open.delete(container)
      yield exitCode
    }
    if (open.size === 0) return
    await sleep(POLL_MS, undefined, { signal }).catch((cause) => {
      throw new PakError('cancelled', 'wait: interrupted', { cause })
    })
  }
}

const rowsOf = (rows: readonly ContainerRow[], services: readonly string[]) =>
  rows.filter(({ service }) => services.includes(service))

/** `null`: it has not ended. One that a restart policy has started again meanwhile has ended, too. */
async function endOf(
  agent: AgentClient,
  before: ContainerRow,
  now: ContainerRow | null,
): Promise<number | null> {
  if (now === null)
    throw new PakError('not_found', `wait for \`${before.container}\`: it was removed`)
  if (now.exitCode !== null) return now.exitCode
  if (before.startedAt === null || now.restartCount === before.restartCount) return null
  const numbered = before.container.startsWith(`${before.project}-${before.service}-`)
  const replica = numbered ? (/\d+$/.exec(before.container)?.[0] ?? '1') : '1'
  const on = `service/${before.service}/${replica}`
  const since = before.startedAt
  const query = { project: before.project, since, follow: false }
  for await (const event of agent.events(query))
    if (event.on === on && event.because?.kind === 'exited' && event.type === 'container.exited')
      return event.because.exitCode
  return null
}
