import { text } from 'node:stream/consumers'
import type { DesiredState } from '../model/desired.ts'

/**
 * The agent as a program of its own, apart from the commands: neither loads what only the other needs.
 * While the build records V8's code cache it does what it can do without a machine: plan and apply what
 * stdin has, in memory.
 */
async function start(): Promise<void> {
  if (process.env['PAK_RECORD_CODE_CACHE'] === undefined) {
    const { main } = await import('./agent.ts')
    process.exitCode = await main(process.argv.slice(4))
    return
  }
  const { simulate } = await import('./simulate.ts')
  // The build has it from the manifest's loader.
  const desired = JSON.parse(await text(process.stdin)) as DesiredState
  await simulate(desired, REHEARSAL, new AbortController().signal)
}

const REHEARSAL = {
  services: null,
  noDeps: false,
  forceRecreate: false,
  removeOrphans: false,
  timeoutMs: null,
  waitTimeoutMs: 0,
  origin: null,
  detached: false,
}

void start()
