import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { AgentClient } from '../agent/client.ts'
import type { LaunchOptions } from '../agent/launch.ts'
import type { Roots } from '../agent/parts.ts'
import { PakError } from '../errors.ts'
import type { Globals } from './globals.ts'

/** The agent of these roots, started when it does not run. */
export async function openAgent(
  globals: Globals,
  signal?: AbortSignal,
  options: Pick<LaunchOptions, 'onSpawn' | 'stay'> = {},
): Promise<AgentClient> {
  onlyThisMachine(globals)
  const { runningAgent } = await import('../agent/running.ts')
  const start = async () => {
    const { ensureAgent } = await import('../agent/launch.ts')
    return ensureAgent(rootsOf(globals), signal, options)
  }
  return (await runningAgent(globals, async () => void (await start()))) ?? start()
}

export interface Beginning {
  /** May be awaited late, or never. */
  readonly agent: Promise<AgentClient>
  /** The agent, if it runs already; `null` when one boots by itself, and this process may block. */
  readonly running: Promise<AgentClient | null>
}

/** The same for a command with long work of its own to do meanwhile, once it knows what is `running`. */
export function beginAgent(globals: Globals, signal: AbortSignal): Beginning {
  let begun = (_running: AgentClient | null) => {}
  const running = new Promise<AgentClient | null>((resolve) => {
    begun = resolve
  })
  const agent = openAgent(globals, signal, { onSpawn: () => begun(null) })
  agent.then(begun, () => begun(null))
  return { agent, running }
}

/**
 * The agent for a command that only looks: null when none runs and there is no project that it could
 * know of, so that looking at an empty machine starts nothing. Where there is a socket, what it takes to
 * start an agent is loaded only when nobody answers.
 */
export async function peekAgent(
  globals: Globals,
  signal?: AbortSignal,
): Promise<AgentClient | null> {
  onlyThisMachine(globals)
  const socket = join(globals.runRoot, 'pak.sock')
  if (existsSync(socket)) {
    const { AgentClient } = await import('../agent/client.ts')
    return new AgentClient(socket, async () => void (await openAgent(globals, signal)))
  }
  return (await hasProjects(globals.root)) ? openAgent(globals, signal) : null
}

/** Only an agent that runs; null when none does. */
export async function runningAgent(globals: Globals): Promise<AgentClient | null> {
  const { connectAgent } = await import('../agent/launch.ts')
  return connectAgent(rootsOf(globals))
}

export const rootsOf = ({ root, runRoot, runtime }: Globals): Roots => ({ root, runRoot, runtime })

async function hasProjects(root: string): Promise<boolean> {
  try {
    return (await readdir(join(root, 'projects'))).length > 0
  } catch {
    return false
  }
}

function onlyThisMachine({ executor }: Globals): void {
  if (executor === 'linux') return
  throw new PakError('usage', `executor \`${executor}\`: not in this version`, {
    hint: 'the memory executor is for pak plan --simulate',
  })
}
