import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'

/**
 * For tests: the file `failpoint` in the run root holds a number n, and at the n-th event of a step of the
 * next plan (from 0; each step begins and ends with one) this process dies as by `kill -9`, before it
 * has written down or told that event. Without the file, nothing: it is looked for once for each plan.
 */
export function failpoint(kernel: Kernel, runRoot: string): () => void {
  const path = join(runRoot, 'failpoint')
  let left = Number(kernel.readNow(path) ?? Number.NaN)
  return () => {
    if (left > 0) left -= 1
    else if (left === 0) {
      rmSync(path)
      process.kill(process.pid, 'SIGKILL')
    }
  }
}
