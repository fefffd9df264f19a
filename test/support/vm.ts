import { join } from 'node:path'
import type { TestFile } from './files.ts'
import { runProcess } from './process.ts'
import { SKIP_MARK } from './skip.ts'
import { parseClosingLine, type Totals } from './totals.ts'

/** Exit status of test/vm/run when this machine cannot run the emulated one. */
const CANNOT_RUN = 125
const TIMEOUT_MS = Number(process.env['PAK_VM_SECONDS'] ?? 1200) * 1000

/** The same files under a real kernel with pure cgroup v2, and their totals. */
export async function runInVm(
  projectFolder: string,
  files: readonly TestFile[],
  pattern: string,
): Promise<Totals> {
  if (process.env['PAK_VM'] === '1') return { passed: 0, failed: 0, skipped: 0 }
  console.log('vm: the kernel and scenario tests once more, under pure cgroup v2')
  const { output, exitCode } = await runProcess(
    join(projectFolder, 'test/vm/run-tests'),
    pattern === '' ? [] : [pattern],
    {
      cwd: projectFolder,
      timeoutMs: TIMEOUT_MS + 120_000,
      onOutput: (text) => process.stdout.write(text.replaceAll(/^(?=.)/gm, 'vm: ')),
    },
  )
  if (exitCode === CANNOT_RUN) {
    const reason = output.trim().split('\n').at(-1) ?? 'no reason given'
    console.log(`${SKIP_MARK} ${files.length} files in the emulated machine: ${reason}`)
    return { passed: 0, failed: 0, skipped: files.length }
  }
  const totals = parseClosingLine(output.replaceAll('\r', ''))
  if (totals !== null && (exitCode === 0 || totals.failed > 0)) return totals
  console.log(`FAIL vm: ${exitCode === 124 ? 'its time is up' : `exit status ${exitCode}`}`)
  return { passed: totals?.passed ?? 0, failed: 1, skipped: totals?.skipped ?? 0 }
}
