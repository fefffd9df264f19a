import type { AgentStatus } from '../../agent/wire.ts'
import type { Invocation } from '../grammar.ts'
import { openAgent, runningAgent } from '../session.ts'
import { tellSystemd } from './agent-unit.ts'

/** `agent status`; null when none runs. */
export async function status({ globals }: Invocation): Promise<AgentStatus | null> {
  const agent = await runningAgent(globals)
  return agent === null ? null : agent.status()
}

const MOST_ATTEMPTS = 5

/** `agent start`: one that runs already is fine. */
export async function start({ flags, globals, interrupts }: Invocation): Promise<AgentStatus> {
  for (let attempt = 1; ; attempt += 1) {
    const agent = await openAgent(globals, interrupts.signal, { stay: flags.on('stay') })
    const found = await agent.status()
    // One that was just leaving when it answered is followed by another.
    if ((await tellSystemd(found.pid)) || attempt === MOST_ATTEMPTS) return found
  }
}

/** `agent stop`: the containers run on. False when none ran. */
export async function stop({ globals }: Invocation): Promise<boolean> {
  const agent = await runningAgent(globals)
  if (agent === null) return false
  await agent.stop()
  return true
}
