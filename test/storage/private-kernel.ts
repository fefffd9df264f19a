import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { hostKernel } from '../../src/kernel/host.ts'
import type { Kernel } from '../../src/kernel/kernel.ts'

export interface PrivateKernel extends AsyncDisposable {
  readonly kernel: Kernel
  /** A folder of the test's own; it has the same path inside and outside. */
  readonly folder: string
  /** The path from outside of something in the private mount namespace. */
  seen(path: string): string
  /** Run a program in the namespace and give its output; throws when it did not end with 0. */
  sh(script: string, ...args: string[]): Promise<string>
}

/** The host kernel, but all of it in a mount namespace of its own, as the agent has. */
export async function privateKernel(): Promise<PrivateKernel> {
  const folder = await mkdtemp('/tmp/pakt-storage-')
  const holder = spawn(
    'unshare',
    ['--mount', '--propagation', 'slave', '--', 'sh', '-c', 'echo ready; exec cat'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  await once(holder.stdout, 'data')
  const pid = holder.pid
  if (pid === undefined) throw new Error('unshare did not start')
  const seen = (path: string) =>
    path.startsWith('/proc/self/') ? path.replace('self', String(pid)) : `/proc/${pid}/root${path}`
  const kernel: Kernel = {
    ...hostKernel,
    run: (file, args, { cwd = '/', ...options } = {}) =>
      hostKernel.run(
        'nsenter',
        [`--mount=/proc/${pid}/ns/mnt`, `--wdns=${cwd}`, '--', file, ...args],
        options,
      ),
    readText: (path) => hostKernel.readText(seen(path)),
    readNow: (path) => hostKernel.readNow(seen(path)),
    listNow: (path) => hostKernel.listNow(seen(path)),
    replaceFile: (path, text, mode) => hostKernel.replaceFile(seen(path), text, mode),
    list: (path) => hostKernel.list(seen(path)),
    exists: (path) => hostKernel.exists(seen(path)),
    stat: (path) => hostKernel.stat(seen(path)),
    readLink: (path) => hostKernel.readLink(seen(path)),
    makeFolder: (path, mode) => hostKernel.makeFolder(seen(path), mode),
    removeTree: (...paths) => hostKernel.removeTree(...paths.map(seen)),
    removeFolder: (path) => hostKernel.removeFolder(seen(path)),
  }
  return {
    kernel,
    folder,
    seen,
    async sh(script, ...args) {
      const result = await kernel.run('sh', ['-euc', script, 'sh', ...args], { cwd: folder })
      if (result.exitCode !== 0) throw new Error(result.stderr)
      return result.stdout
    },
    async [Symbol.asyncDispose]() {
      holder.stdin.end()
      if (holder.exitCode === null) await once(holder, 'exit')
      await rm(folder, { recursive: true, force: true })
    },
  }
}
