import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { AgentClient } from './client.ts'
import { isNewer, version } from './version.ts'

/*
 * What there is to know of an agent that runs. Most commands find one: nothing of what it takes to start
 * one may be imported here.
 */

export const socketPath = ({ runRoot }: { readonly runRoot: string }): string =>
  join(runRoot, 'pak.sock')

/** A client of the agent that runs; `null` when none does, or one that is older than this program. */
export async function runningAgent(
  roots: { readonly runRoot: string },
  revive: () => Promise<void>,
): Promise<AgentClient | null> {
  const path = socketPath(roots)
  return (await answers(path)) && !(await isOutdated(roots)) ? new AgentClient(path, revive) : null
}

/** Whether anybody listens; a dead agent's supervisor does, and the next agent will answer. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const settle = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}

export async function isOutdated({ runRoot }: { readonly runRoot: string }): Promise<boolean> {
  const text = await readFile(join(runRoot, 'agent.json'), 'utf8').catch(() => null)
  const running = text === null ? null : /"version":\s*"([^"]+)"/.exec(text)?.[1]
  return running != null && isNewer(version(), running)
}
