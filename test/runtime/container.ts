import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PakError } from '../../src/errors.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import type { ContainerSpec } from '../../src/model/desired.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import { type CgroupHost, detectCgroups } from '../../src/runtime/cgroups.ts'
import { execExitCode, execProcess } from '../../src/runtime/exec.ts'
import { createContainer, readExitCode } from '../../src/runtime/monitor.ts'
import { type OciRuntime, ociRuntime } from '../../src/runtime/oci.ts'
import { ociSpec } from '../../src/runtime/spec.ts'
import { resolveUser } from '../../src/runtime/user.ts'
import { securityFragment } from '../../src/security/fragment.ts'
import { eventually } from '../support/eventually.ts'
import { PLAIN } from '../support/spec.ts'

export interface Ran {
  readonly status: number
  readonly output: string
}

export interface TestContainer extends AsyncDisposable {
  readonly pid: number
  readonly id: string
  readonly folder: string
  readonly cgroup: string
  readonly cgroups: CgroupHost
  readonly runtime: OciRuntime
  exec(...command: readonly string[]): Promise<Ran>
  exitCode(): Promise<number>
  log(): Promise<string>
}

const APPLETS =
  'sh cat sleep id ls mount mknod unshare grep echo head tail hostname true kill'.split(' ')

/** A container with a busybox root, started; disposing of it leaves no cgroup, process or file. */
export async function startContainer(
  runtimeName: string,
  own: Partial<ContainerSpec>,
  prepare: (rootfs: string) => Promise<void> = async () => {},
): Promise<TestContainer> {
  const folder = await mkdtemp('/tmp/pakt-runtime-')
  const id = randomBytes(32).toString('hex')
  const parent = `/pakt-${id.slice(0, 8)}`
  const cgroup = `${parent}/shop/one`
  const rootfs = join(folder, 'rootfs')
  const exitDir = join(folder, 'exits')
  const bundle = join(folder, 'bundle')
  await makeRoot(rootfs)
  await prepare(rootfs)
  for (const path of [exitDir, bundle]) await mkdir(path)
  const cgroups = await detectCgroups(hostKernel)
  const runtime = await ociRuntime(hostKernel, { name: runtimeName, root: join(folder, 'oci') })
  const dispose = async () => {
    await cgroups.killAll(cgroup)
    await runtime.remove(id, true)
    await cgroups.removeParent(parent)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const spec = { ...PLAIN, ...own }
    const security = await securityFragment(spec, { kernel: hostKernel, runtime: runtimeName })
    const user = await resolveUser(hostKernel, { rootfs, user: spec.user, groupAdd: spec.groupAdd })
    const input = { spec, image: null, name: 'one', user, security }
    const namespaces = { network: null, pid: null, ipc: null }
    const config = ociSpec({
      ...input,
      id,
      cgroupsPath: cgroup,
      cgroups,
      rootfs,
      mounts: [],
      namespaces,
    })
    await writeFile(join(bundle, 'config.json'), JSON.stringify(config))
    await cgroups.ensureParent(`${parent}/shop`, NO_LIMITS)
    const logPath = join(folder, 'log')
    const pid = await createContainer(hostKernel, {
      runtime,
      id,
      name: 'one',
      bundle,
      log: { path: logPath, mostBytes: 10_000_000 },
      exitDir,
    })
    if (!(await runtime.startAll([id]))) await runtime.start(id)
    return {
      pid,
      id,
      folder,
      cgroup,
      cgroups,
      runtime,
      exec: async (...command) => {
        const wanted = { command, environment: {}, workingDir: null, tty: false }
        const scratch = join(folder, `exec-${randomBytes(4).toString('hex')}`)
        const process = execProcess(input, wanted)
        try {
          return await run(await runtime.exec({ id, pid, process, scratch, cgroup: null }))
        } catch (error) {
          if (error instanceof PakError) return { status: error.exitStatus, output: error.message }
          throw error
        }
      },
      exitCode: () =>
        eventually('the exit code', async () => {
          const code = await readExitCode(hostKernel, { exitDir, id })
          return code === null ? null : { code }
        }).then(({ code }) => code),
      log: () => readFile(logPath, 'utf8'),
      [Symbol.asyncDispose]: dispose,
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

async function makeRoot(rootfs: string): Promise<void> {
  for (const name of ['bin', 'proc', 'sys', 'dev', 'etc', 'tmp'])
    await mkdir(join(rootfs, name), { recursive: true })
  await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'))
  for (const name of APPLETS) await symlink('busybox', join(rootfs, 'bin', name))
}

async function run(invocation: Awaited<ReturnType<OciRuntime['exec']>>): Promise<Ran> {
  const child = spawn(invocation.file, [...invocation.args], {
    env: { ...invocation.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  const chunks: Buffer[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const log = await hostKernel.readText(join(invocation.scratch, 'log'))
  return {
    status: execExitCode({ exitCode, signal: exitCode === null ? 9 : null, log }),
    output: Buffer.concat(chunks).toString('utf8').trim(),
  }
}
