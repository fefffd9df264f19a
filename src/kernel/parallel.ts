import type { Kernel, RunOptions, RunResult } from './kernel.ts'

export interface ParallelRun extends Omit<RunOptions, 'input'> {
  readonly file: string
  /** One program each, all with the same number of arguments. */
  readonly argumentLists: readonly (readonly string[])[]
  /** How many run side by side. */
  readonly parallel: number
}

/**
 * Run one program many times from a single spawn: xargs(1) forks the rest. Node blocks for a
 * millisecond and more per spawn, xargs for a tenth of one. The arguments reach it NUL-separated, no
 * shell is involved. The exit status is 0 only when each run's was; which one failed, the caller has to
 * find out.
 */
export function runParallel(
  kernel: Kernel,
  { file, argumentLists, parallel, ...options }: ParallelRun,
): Promise<RunResult> {
  const width = argumentLists[0]?.length ?? 0
  if (width === 0 || argumentLists.some((list) => list.length !== width))
    throw new Error(`run \`${file}\` in parallel: argument lists differ in length`)
  const [only, ...more] = argumentLists
  if (only !== undefined && more.length === 0) return kernel.run(file, only, options)
  const input = `${argumentLists.flat().join('\0')}\0`
  const counts = ['--max-args', String(width), '--max-procs', String(parallel)]
  return kernel.run('xargs', ['--null', '--exit', ...counts, '--', file], { ...options, input })
}
