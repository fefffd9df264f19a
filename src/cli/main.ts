import { version } from '../agent/version.ts'

/**
 * The entry of `pak`. What needs nothing is answered before anything is loaded; every command is
 * imported only when it was asked for.
 */
async function main(args: readonly string[]): Promise<void> {
  const [first, second] = args
  if (args.length === 1 && (first === '--version' || first === 'version' || first === '-V')) {
    process.stdout.write(`pak ${version()}\n`)
    return
  }
  if (first === 'agent' && second === 'run') {
    const agent = await import('../agent/agent.ts')
    process.exitCode = await agent.main(args.slice(2))
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
