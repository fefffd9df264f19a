import { spawn } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { eventually, slowness } from './eventually.ts'

const PAK = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')

export interface PakResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Default 120 000, on a machine of usual speed; then it is killed and the run rejects. */
  readonly timeoutMs?: number
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
}

/** pak as a program, with state roots and a working folder of its own. */
export interface PakSandbox extends AsyncDisposable {
  readonly folder: string
  readonly root: string
  readonly runRoot: string
  /** `pak <args>` in `folder`; never rejects for an exit status. */
  run(args: readonly string[], options?: RunOptions): Promise<PakResult>
  /** The same, but anything but exit status 0 is an error with what it printed. Returns stdout. */
  ok(args: readonly string[], options?: RunOptions): Promise<string>
  /** `ok` with `--format json`, parsed. */
  json<T = Record<string, unknown>[]>(args: readonly string[]): Promise<T>
  /** Start it and leave it running, for `logs -f` and `up` in the foreground. */
  start(args: readonly string[]): ReturnType<typeof spawn>
  /** A file in `folder`; returns its path. */
  write(name: string, text: string): Promise<string>
}

/**
 * A fresh sandbox in /tmp, with its run root there too or in the folder of temporary files that is given.
 * `within`: words before each command of pak, as `nsenter` and its options.
 * Dispose (`await using`) takes down every project of it, volumes included, stops its agent and removes
 * all that.
 */
export async function pakSandbox(
  runFolder?: string,
  within: readonly string[] = [],
): Promise<PakSandbox> {
  const base = await fs.mkdtemp(join(tmpdir(), 'pakt-'))
  const runBase = runFolder === undefined ? base : join(runFolder, basename(base))
  const [folder, root, runRoot] = [join(base, 'work'), join(base, 'root'), join(runBase, 'run')]
  for (const path of [folder, runBase]) await fs.mkdir(path, { recursive: true })
  const [program = process.execPath, ...words] = [...within, process.execPath, PAK]
  const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    spawn(program, [...words, ...args], {
      cwd: folder,
      env: { ...baseEnvironment(), PAK_ROOT: root, PAK_RUN_ROOT: runRoot, ...env },
    })
  const run = (args: readonly string[], { env, ...options }: RunOptions = {}) =>
    toTheEnd(start(args, env), { what: `pak ${args.join(' ')}`, ...options })
  const ok = async (args: readonly string[], options?: RunOptions) => {
    const { exitCode, stdout, stderr } = await run(args, options)
    if (exitCode === 0) return stdout
    throw new Error(`pak ${args.join(' ')}: exit status ${exitCode}\n${stdout}${stderr}`)
  }
  return {
    folder,
    root,
    runRoot,
    run,
    ok,
    json: async (args) => JSON.parse(await ok([...args, '--format', 'json'])),
    start,
    write: async (name, text) => {
      await fs.mkdir(dirname(join(folder, name)), { recursive: true })
      await fs.writeFile(join(folder, name), text)
      return join(folder, name)
    },
    [Symbol.asyncDispose]: () => dispose({ bases: [base, runBase], root, runRoot }, run),
  }
}

interface Places {
  readonly bases: readonly string[]
  readonly root: string
  readonly runRoot: string
}

async function dispose(
  { bases, root, runRoot }: Places,
  run: (args: readonly string[], options?: RunOptions) => Promise<PakResult>,
): Promise<void> {
  const problems: string[] = []
  const known = await namesIn(join(root, 'projects'))
  const down = (project: string) =>
    run(['down', '-p', project, '-v', '-t', '0', '--remove-orphans'])
  // One whose network another project is on goes after that.
  const held: string[] = []
  for (const project of known.filter((name) => name !== '_shared'))
    if ((await down(project)).exitCode !== 0) held.push(project)
  for (const project of held) {
    const { exitCode, stderr } = await down(project)
    if (exitCode !== 0) problems.push(`down ${project}: ${stderr.trim()}`)
  }
  if (known.includes('_shared')) await run(['network', 'prune', '-f'])
  if ((await namesIn(runRoot)).includes('pak.sock')) await run(['agent', 'stop'])
  await eventually('the agent ends', async () => (await processesOf(bases)).length === 0).catch(
    async () => {
      const left = await processesOf(bases)
      problems.push(`processes left: ${left.join(', ')}`)
      for (const pid of left) process.kill(pid, 'SIGKILL')
    },
  )
  for (const base of bases) await fs.rm(base, { recursive: true, force: true })
  if (problems.length > 0) throw new Error(`dispose: ${problems.join('; ')}`)
}

const namesIn = async (folder: string): Promise<readonly string[]> =>
  fs.readdir(folder).catch(() => [])

/** Whoever's command line names a path of this sandbox: its agent, supervisor and monitors. */
async function processesOf(bases: readonly string[]): Promise<readonly number[]> {
  const pids = (await fs.readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const lines = await Promise.all(
    pids.map((pid) => fs.readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  )
  return pids.filter(
    (pid, index) => pid !== process.pid && bases.some((base) => lines[index]?.includes(base)),
  )
}

function toTheEnd(
  child: ReturnType<typeof spawn>,
  { what, input, timeoutMs = 120_000 }: RunOptions & { readonly what: string },
): Promise<PakResult> {
  const output = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk: Buffer) => {
    output.stdout += chunk.toString('utf8')
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    output.stderr += chunk.toString('utf8')
  })
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${what}: no end\n${output.stdout}${output.stderr}`))
    }, timeoutMs * slowness)
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ exitCode: code ?? 128, ...output })
    })
  })
}

/** What a user's shell would have, without what changes Node's start or pak's output. */
export function baseEnvironment(): Record<string, string> {
  const kept = ['PATH', 'HOME', 'LANG', 'TMPDIR']
  return Object.fromEntries(
    kept.flatMap((name) => {
      const value = process.env[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}
