import { availableParallelism, freemem } from 'node:os'
import { join } from 'node:path'
import type { TestFile } from './files.ts'
import { runProcess } from './process.ts'
import { SKIP_MARK } from './skip.ts'
import { addTotals, NO_TOTALS, parseClosingLine, repeatedFailures, type Totals } from './totals.ts'

/** Exit status of test/vm/run when this machine cannot run the emulated one. */
const CANNOT_RUN = 125
const TIMEOUT_MS = Number(process.env['PAK_VM_SECONDS'] ?? 2700) * 1000

/** Emulation keeps a CPU busy for each machine; a machine wants 4 GiB, most of it only if asked. */
const MACHINES = Math.max(1, Math.min(2, availableParallelism(), Math.floor(freemem() / 5e9)))

export interface VmOutcome {
  readonly totals: Totals
  /** What failed, for the end of the whole output: the machines end at different times. */
  readonly failures: readonly string[]
}

/** The same files under a real kernel with pure cgroup v2, divided among machines, and their totals. */
export async function runInVm(
  projectFolder: string,
  files: readonly TestFile[],
  pattern: string,
): Promise<VmOutcome> {
  if (process.env['PAK_VM'] === '1') return { totals: NO_TOTALS, failures: [] }
  const machines = Math.min(MACHINES, files.length)
  process.env['PAK_TEST_BUILT'] = '1'
  // What waits for a lock keeps its CPU busy: machines that share one take longer than they gain.
  process.env['PAK_VM_CPUS'] ??= String(Math.max(1, Math.floor(availableParallelism() / machines)))
  console.log(
    `vm: the kernel and scenario tests once more, under pure cgroup v2 (${machines} at once)`,
  )
  const shards = Array.from({ length: machines }, (_, index) => ({
    name: machines === 1 ? 'vm' : `vm${index + 1}`,
    files: files.filter((_, place) => place % machines === index),
    args: ['--shard', `${index + 1}/${machines}`, ...(pattern === '' ? [] : [pattern])],
  }))
  const outcomes = await Promise.all(shards.map((shard) => runShard(projectFolder, shard)))
  return {
    totals: outcomes.map(({ totals }) => totals).reduce(addTotals, NO_TOTALS),
    failures: outcomes.flatMap(({ failures }) => failures),
  }
}

interface Shard {
  readonly name: string
  readonly files: readonly TestFile[]
  readonly args: readonly string[]
}

async function runShard(projectFolder: string, { name, files, args }: Shard): Promise<VmOutcome> {
  const { output, exitCode } = await runProcess(join(projectFolder, 'test/vm/run-tests'), args, {
    cwd: projectFolder,
    timeoutMs: TIMEOUT_MS + 120_000,
    onOutput: (text) => process.stdout.write(text.replaceAll(/^(?=.)/gm, `${name}: `)),
  })
  if (exitCode === CANNOT_RUN) {
    const reason = output.trim().split('\n').at(-1) ?? 'no reason given'
    console.log(`${SKIP_MARK} ${files.length} files in the emulated machine: ${reason}`)
    return { totals: { ...NO_TOTALS, skipped: files.length }, failures: [] }
  }
  const plain = output.replaceAll('\r', '')
  const totals = parseClosingLine(plain)
  const failures = repeatedFailures(plain).map((line) => `${name}: ${line}`)
  if (totals !== null && (exitCode === 0 || totals.failed > 0)) return { totals, failures }
  const reason =
    exitCode === 124 || exitCode === null ? 'its time is up' : `exit status ${exitCode}`
  return {
    totals: addTotals(totals ?? NO_TOTALS, { ...NO_TOTALS, failed: 1 }),
    failures: [...failures, `FAIL ${name}: ${reason}`],
  }
}
