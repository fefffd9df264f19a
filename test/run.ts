/**
 * The test runner: each file in a process of its own, honest totals, and a census of the machine around
 * every file that touches it. Such files run two at a time; one that measures what the machine gives it, or
 * counts what is on it, says `// alone: why` of itself.
 *
 *   node --import tsx test/run.ts [--kind pure|kernel|scenario|all]... [--all] [--shard I/N] [PART-OF-PATH]
 *
 * `--all`: the kernel and scenario files once more under a real kernel with pure cgroup v2 (test/vm).
 * `--shard 1/2`: every second file, from the first.
 * `--no-census`: for a machine on which others make containers at the same time.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { provideBuild } from './support/build.ts'
import { CensusWatch, census, censusDifference } from './support/census.ts'
import { eventually, slowness } from './support/eventually.ts'
import { findTests, KINDS, type Kind, type TestFile } from './support/files.ts'
import { provideHost } from './support/host.ts'
import { runProcess } from './support/process.ts'
import { SKIP_MARK } from './support/skip.ts'
import {
  addTotals,
  closingLine,
  judge,
  NO_TOTALS,
  type Totals,
  type Verdict,
} from './support/totals.ts'
import { runInVm } from './support/vm.ts'

const PROJECT = join(import.meta.dirname, '..')
const TIMEOUT_MS: Readonly<Record<Kind, number>> = {
  pure: 120_000,
  kernel: 240_000,
  scenario: 420_000,
}
/** A file that says so of itself is passed over, visibly, where code runs ten times as slowly. */
const NOT_IN_VM = /^\/\/ not in the emulated machine: (.+)$/m
const ALONE = /^\/\/ alone: .+$/m
/** Emulated machines run beside each other already. */
const AT_ONCE = process.env['PAK_VM'] === '1' ? 1 : 2
/** What ends by itself, an agent with nothing left to do, is given this long. */
const PATIENCE = { withinMs: 3_000, everyMs: 200 }
/** What failed, said once more at the end: whoever keeps only the tail of the output needs it there. */
const failures: string[] = []
const ONE_FAILED: Totals = { passed: 0, failed: 1, skipped: 0 }

// Whoever ends the runner ends what it runs: `runProcess` clears up on exit.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

async function main(): Promise<number> {
  const options = readOptions()
  const files = findTests(PROJECT, options.pattern)
    .filter((file) => options.kinds.has(file.kind))
    .filter((_, index) => index % options.shards === options.shard - 1)
  if (files.length === 0) return close(ONE_FAILED, 'no test file matches')
  const touching = files.filter((file) => file.kind !== 'pure')
  const built = provideBuild(PROJECT)
  if (touching.length > 0) {
    const lacking = provideHost()
    if (lacking !== null) console.log(`host: ${lacking}`)
  }
  let totals = await runAll(
    files.filter((file) => file.kind === 'pure'),
    2,
  )
  if (!built) return close(addTotals(totals, ONE_FAILED), 'npm run build')
  const isAlone = (file: TestFile) => ALONE.test(sourceOf(file))
  const together = touching.filter((file) => !isAlone(file))
  totals = addTotals(totals, await runTouching(together, options.withCensus))
  for (const file of touching.filter(isAlone))
    totals = addTotals(totals, await runTouching([file], options.withCensus))
  if (options.inVm && touching.length > 0) {
    const inVm = await runInVm(PROJECT, touching, options.pattern)
    totals = addTotals(totals, inVm.totals)
    failures.push(...inVm.failures)
  }
  return close(totals)
}

interface Options {
  readonly kinds: ReadonlySet<Kind>
  readonly pattern: string
  readonly inVm: boolean
  readonly withCensus: boolean
  /** From 1. */
  readonly shard: number
  readonly shards: number
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      kind: { type: 'string', multiple: true, default: ['all'] },
      all: { type: 'boolean', default: false },
      shard: { type: 'string', default: '1/1' },
      'no-census': { type: 'boolean', default: false },
    },
  })
  const unknown = values.kind.find((kind) => kind !== 'all' && !isKind(kind))
  if (unknown !== undefined) throw new Error(`--kind \`${unknown}\`: pure, kernel, scenario or all`)
  if (positionals.length > 1) throw new Error('test/run.ts: one part of a path, not several')
  const [shard = 1, shards = 1] = values.shard.split('/').map(Number)
  return {
    shard,
    shards,
    kinds: new Set(values.kind.includes('all') ? KINDS : values.kind.filter(isKind)),
    pattern: positionals[0] ?? '',
    inVm: values.all,
    withCensus: !values['no-census'],
  }
}

function isKind(word: string): word is Kind {
  return KINDS.some((kind) => kind === word)
}

/** `workers` files at a time; `onTurn` hears of each before and after it. */
async function runAll(
  files: readonly TestFile[],
  workers: number,
  onTurn: (file: TestFile, at: 'start' | 'end') => void = () => {},
): Promise<Totals> {
  const queue = [...files]
  let totals = NO_TOTALS
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      onTurn(file, 'start')
      const verdict = await runFile(file)
      onTurn(file, 'end')
      totals = addTotals(totals, verdict.totals)
    }
  }
  await Promise.all(Array.from({ length: workers }, worker))
  return totals
}

/** Files that touch the machine, and one failure more if it is not as it was when all of them have ended. */
async function runTouching(files: readonly TestFile[], withCensus: boolean): Promise<Totals> {
  if (!withCensus) return runAll(files, AT_ONCE)
  const before = census()
  const watch = new CensusWatch()
  const totals = await runAll(files, AT_ONCE, ({ path }, at) => watch.turn(path, at))
  let difference: readonly string[] = []
  try {
    await eventually(
      'census',
      () => {
        difference = censusDifference(before, census())
        return difference.length === 0
      },
      PATIENCE,
    )
    return totals
  } catch {
    const said = difference.slice(0, 30).map((line) => `     ${line}${watch.whose(line)}`)
    const failure = ['FAIL the machine is not as it was', ...said].join('\n')
    failures.push(failure)
    console.log(failure)
    return addTotals(totals, ONE_FAILED)
  }
}

async function runFile(file: TestFile): Promise<Verdict> {
  const source = sourceOf(file)
  const unfit = process.env['PAK_VM'] === '1' ? NOT_IN_VM.exec(source)?.[1] : undefined
  if (unfit !== undefined) {
    console.log(`skip ${file.path}: ${unfit}`)
    return { totals: { passed: 0, failed: 0, skipped: 1 }, problem: null }
  }
  const started = performance.now()
  const finished = await runProcess(process.execPath, ['--import', 'tsx', file.path], {
    cwd: PROJECT,
    timeoutMs: TIMEOUT_MS[file.kind] * slowness,
  })
  const verdict = judge({ source, ...finished })
  report(file, verdict, { output: finished.output, tookMs: performance.now() - started })
  return verdict
}

const sourceOf = (file: TestFile): string => readFileSync(join(PROJECT, file.path), 'utf8')

function report(
  file: TestFile,
  { totals, problem }: Verdict,
  { output, tookMs }: { readonly output: string; readonly tookMs: number },
): void {
  const failed = totals.failed > 0
  const note = problem === null ? '' : `: ${problem}`
  const seconds = (tookMs / 1000).toFixed(1)
  console.log(
    `${failed ? 'FAIL' : 'ok  '} ${file.path}  ${closingLine(totals)}  ${seconds} s${note}`,
  )
  if (failed) {
    console.log(output.replaceAll(/^/gm, '     '))
    failures.push(`FAIL ${file.path}${note}\n${digest(output)}`)
  } else
    for (const line of output.split('\n').filter((text) => text.startsWith(SKIP_MARK)))
      console.log(`     ${line}`)
}

/** The part of a failed file's output that names the tests and their errors, cut to what is read. */
function digest(output: string): string {
  const plain = stripVTControlCharacters(output)
  const from = Math.max(plain.indexOf(' FAIL '), 0)
  const lines = plain.slice(from).split('\n').slice(0, 60)
  return lines.map((line) => `     ${line.slice(0, 300)}`).join('\n')
}

function close(totals: Totals, problem?: string): number {
  for (const failure of failures) console.log(failure)
  if (problem !== undefined) console.log(`FAIL ${problem}`)
  console.log(closingLine(totals))
  return totals.failed > 0 ? 1 : 0
}

process.exitCode = await main()
