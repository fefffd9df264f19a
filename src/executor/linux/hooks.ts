import { PakError } from '../../errors.ts'
import type { Hook } from '../../model/desired.ts'
import { printableOutput } from '../../model/text.ts'
import type { LinuxHost } from './host.ts'
import { runInside } from './inside.ts'

/** Of a hook's output in an error. */
const OUTPUT_LENGTH = 1000

export interface HookRun {
  readonly project: string
  readonly container: string
  readonly when: 'post_start' | 'pre_stop'
  readonly hooks: readonly Hook[]
  /** For all of them together. */
  readonly limitMs: number
  readonly signal: AbortSignal
}

/**
 * Run hooks in a running container, in its cgroup, one after the other. The first that fails is the
 * last: PakError `hook`, or `cancelled` when the signal fires.
 */
export async function runHooks(host: LinuxHost, run: HookRun): Promise<void> {
  const deadline = performance.now() + run.limitMs
  for (const hook of run.hooks) {
    const timeoutMs = Math.ceil(deadline - performance.now())
    if (timeoutMs <= 0) throw failure(run, hook, `no time is left of ${run.limitMs} ms`)
    await runHook(host, run, { hook, timeoutMs })
  }
}

async function runHook(
  host: LinuxHost,
  run: HookRun,
  { hook, timeoutMs }: { readonly hook: Hook; readonly timeoutMs: number },
): Promise<void> {
  const { project, container, signal } = run
  try {
    const request = { ...hook, project, container, timeoutMs, signal }
    const { exitCode, output } = await runInside(host, request)
    if (exitCode === 0) return
    const said = printableOutput(output.trimStart(), OUTPUT_LENGTH).trim()
    throw failure(run, hook, `exit status ${exitCode}${said === '' ? '' : `: ${said}`}`)
  } catch (error) {
    if (!(error instanceof PakError) || error.code === 'hook' || error.code === 'cancelled')
      throw error
    const late = error.code === 'timeout'
    throw failure(run, hook, late ? `no end within ${run.limitMs} ms` : error.message)
  }
}

function failure({ when, container }: HookRun, { command }: Hook, reason: string): PakError {
  const shown = printableOutput(command.join(' '), 100)
  return new PakError('hook', `${when} of container \`${container}\`, \`${shown}\`: ${reason}`)
}
