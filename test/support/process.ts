import { spawn } from 'node:child_process'

export interface Finished {
  /** stdout and stderr as they came. */
  readonly output: string
  /** `null`: it was ended because its time was up. */
  readonly exitCode: number | null
}

export interface ProcessOptions {
  readonly cwd: string
  readonly timeoutMs: number
  /** Show output while it comes. */
  readonly onOutput?: (text: string) => void
}

/** Run a program to its end, in a process group of its own, which dies as one when time is up. */
export function runProcess(
  file: string,
  args: readonly string[],
  { cwd, timeoutMs, onOutput }: ProcessOptions,
): Promise<Finished> {
  const child = spawn(file, [...args], {
    cwd,
    env: testEnvironment(),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const group = child.pid
  let output = ''
  let late = false
  const take = (chunk: Buffer) => {
    output += chunk.toString('utf8')
    onOutput?.(chunk.toString('utf8'))
  }
  child.stdout.on('data', take)
  child.stderr.on('data', take)
  const endGroup = () => {
    if (group !== undefined) killGroup(group)
  }
  const timer = setTimeout(() => {
    late = true
    endGroup()
  }, timeoutMs)
  process.once('exit', endGroup)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(timer)
      process.off('exit', endGroup)
      // A daemon that a test leaves behind may hold the pipes: whatever the child itself wrote is here soon.
      setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
        resolve({ output, exitCode: late ? null : (code ?? 1) })
      }, 50)
    })
  })
}

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // Gone by itself.
  }
}

/** The caller's environment without what changes pak's behaviour or Node's start. */
function testEnvironment(): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _, ...rest } = process.env
  return Object.fromEntries(Object.entries(rest).filter(([name]) => !/^PAK_(?!TEST|VM)/.test(name)))
}
