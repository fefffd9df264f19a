import { version } from '../agent/version.ts'

/** Put in by the bundler, for which the agent is a file of its own. */
declare const PAK_AGENT_APART: true | undefined

/**
 * The entry of `pak`. What needs nothing is answered before anything is loaded; every command is
 * imported only when it was asked for. The agent is a program of its own, `agent/main.ts`, but from source.
 */
async function main(args: readonly string[]): Promise<void> {
  const [first, second] = args
  if (args.length === 1 && (first === '--version' || first === 'version' || first === '-V')) {
    process.stdout.write(`pak ${version()}\n`)
    return
  }
  const isSupervised = process.env['PAK_SUPERVISOR'] !== undefined
  if (
    typeof PAK_AGENT_APART === 'undefined' &&
    isSupervised &&
    `${first} ${second}` === 'agent run'
  ) {
    await import('../agent/main.ts')
    return
  }
  const { runCommandLine } = await import('./program.ts')
  const exitStatus = await runCommandLine(args)
  // An open handle, a stalled keep-alive for one, must not keep the shell waiting.
  flushThenExit(exitStatus)
}

function flushThenExit(exitStatus: number): void {
  process.exitCode = exitStatus
  process.stdout.write('', () => process.stderr.write('', () => process.exit(exitStatus)))
}

void main(process.argv.slice(2))
