// not in the emulated machine: nothing of it depends on cgroups, and it starts Node forty times
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { connectAgent, ensureAgent } from '../../src/agent/launch.ts'
import { acquireLock, tryLock } from '../../src/agent/lock.ts'
import type { Roots } from '../../src/agent/parts.ts'
import { isNewer } from '../../src/agent/version.ts'
import { PakError } from '../../src/errors.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import { identify } from '../../src/kernel/process.ts'
import { eventually } from '../support/eventually.ts'
import { DOWN, project, testRoots, UP } from './parts.ts'

const PROGRAM = [
  process.execPath,
  '--import',
  import.meta.resolve('tsx'),
  join(import.meta.dirname, 'memory-agent.ts'),
]

const needsRoot = process.getuid?.() === 0 ? test : test.skip

const launch = (roots: Roots) => ensureAgent(roots, undefined, { program: PROGRAM })

/** The process above another one; proc_pid_stat(5). */
async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** A zombie is gone: this process reaps its own children only once it gets round to it. */
const isThere = async (pid: number): Promise<boolean> => (await identify(hostKernel, pid)) !== null

needsRoot('many starters at once start one agent', async () => {
  await using roots = await testRoots()
  const agents = await Promise.all(Array.from({ length: 5 }, () => launch(roots)))
  const pids = await Promise.all(agents.map(async (agent) => (await agent.status()).pid))
  assert.is(new Set(pids).size, 1)
  await agents[0]?.stop()
  for (const pid of pids) assert.not(await isThere(pid))
  assert.is(await connectAgent(roots), null)
})

needsRoot('it has a mount namespace, a title and an environment of its own', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const { pid } = await agent.status()
  const namespace = await hostKernel.readLink(`/proc/${pid}/ns/mnt`)
  assert.is.not(namespace, await hostKernel.readLink('/proc/self/ns/mnt'))
  const title = await readFile(`/proc/${pid}/cmdline`, 'utf8')
  assert.ok(title.startsWith(`pak agent ${roots.root}`))
  const variables = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0')
  assert.not(variables.some((text) => text.startsWith('NODE_') || text.startsWith('HOME=')))
  await agent.stop()
})

needsRoot('killed, it is back, and requests of the meantime are answered', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const request = { desired: project('shop', ['a']), options: UP, expectedPlan: null }
  for await (const _ of agent.up('shop', request));
  const { pid } = await agent.status()
  process.kill(pid, 'SIGKILL')
  const answers = await Promise.all([agent.status(), agent.projects(), agent.status()])
  assert.is.not(answers[0].pid, pid)
  await eventually('the project is back', async () => (await agent.containers('shop')).length === 1)
  for await (const _ of agent.down('shop', { desired: null, options: DOWN }));
  assert.not(await isThere(answers[0].pid))
})

needsRoot('after the last down no file is left, and no process', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const { pid } = await agent.status()
  const supervisor = await parentOf(pid)
  const request = { desired: project('shop', ['a']), options: UP, expectedPlan: null }
  for await (const _ of agent.up('shop', request));
  for await (const _ of agent.down('shop', { desired: null, options: DOWN }));
  assert.not(existsSync(roots.runRoot))
  assert.not((await isThere(pid)) || (await isThere(supervisor)))
  assert.equal(await hostKernel.list(join(roots.root, 'projects')), [])
})

needsRoot('with nothing to do it leaves by itself, and a client brings it back', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const { pid } = await agent.status()
  await eventually('it left', async () => !(await isThere(pid)) && !existsSync(roots.runRoot))
  assert.is.not((await agent.status()).pid, pid)
  await agent.stop()
})

needsRoot('when its supervisor is killed another takes over', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const request = { desired: project('shop', ['a']), options: UP, expectedPlan: null }
  for await (const _ of agent.up('shop', request));
  const before = await agent.status()
  const supervisor = await parentOf(before.pid)
  process.kill(supervisor, 'SIGKILL')
  const after = await eventually('another agent', async () => {
    const status = await agent.status()
    return status.pid === before.pid ? null : status
  })
  process.kill(after.pid, 'SIGKILL')
  assert.is.not((await agent.status()).pid, after.pid)
  await agent.stop()
})

needsRoot('SIGTERM to the supervisor ends both, and the socket goes', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const { pid } = await agent.status()
  const supervisor = await parentOf(pid)
  process.kill(supervisor, 'SIGTERM')
  await eventually('both ended', async () => !(await isThere(pid)) && !(await isThere(supervisor)))
  assert.is(await connectAgent(roots), null)
  assert.not(existsSync(join(roots.runRoot, 'pak.sock')))
})

needsRoot('an agent that is older than the program is replaced', async () => {
  await using roots = await testRoots()
  const agent = await launch(roots)
  const { pid } = await agent.status()
  const file = join(roots.runRoot, 'agent.json')
  await writeFile(
    file,
    (await readFile(file, 'utf8')).replace(/"version":"[^"]*"/, '"version":"0.0.1"'),
  )
  const newer = await launch(roots)
  assert.is.not((await newer.status()).pid, pid)
  await newer.stop()
})

needsRoot('an agent that cannot start says why', async () => {
  await using roots = await testRoots()
  await mkdir(roots.runRoot, { recursive: true })
  const program = ['/bin/sh', '-c', 'echo no such luck; exit 0']
  const error = await ensureAgent(roots, undefined, { program }).catch((caught: unknown) => caught)
  assert.instance(error, PakError)
  assert.is((error as PakError).code, 'agent')
  assert.match((error as PakError).hint ?? '', 'no such luck')
})

needsRoot('an agent that cannot begin hands on its own error, at once', async () => {
  await using roots = await testRoots()
  const program = [...PROGRAM, '--broken']
  const error = await ensureAgent(roots, undefined, { program }).catch((caught: unknown) => caught)
  assert.is((error as PakError).code, 'tool_missing')
  assert.is((error as PakError).message, 'run `crun`: not installed')
  assert.not(existsSync(roots.runRoot))
})

needsRoot('a descriptor that its starter left open does not live on in it', async () => {
  await using roots = await testRoots()
  await mkdir(roots.runRoot, { recursive: true })
  const marker = join(roots.runRoot, 'marker')
  await writeFile(marker, '')
  const program = ['bash', '-c', `exec 30<"${marker}"; exec "$@"`, 'bash', ...PROGRAM]
  const agent = await ensureAgent(roots, undefined, { program })
  const { pid } = await agent.status()
  const links = await Promise.all(
    (await hostKernel.list(`/proc/${pid}/fd`)).map((fd) =>
      hostKernel.readLink(`/proc/${pid}/fd/${fd}`),
    ),
  )
  assert.not(links.includes(marker))
  await agent.stop()
})

test('a lock is held once; a dead owner does not hold it', async () => {
  await using roots = await testRoots()
  await mkdir(roots.runRoot, { recursive: true })
  const path = join(roots.runRoot, 'lock')
  const lock = await acquireLock(hostKernel, path, { timeoutMs: 1_000 })
  assert.is(await tryLock(hostKernel, path), null)
  await lock[Symbol.asyncDispose]()
  await writeFile(path, JSON.stringify({ pid: process.pid, startTicks: '1' }))
  const thieves = await Promise.all(Array.from({ length: 8 }, () => tryLock(hostKernel, path)))
  assert.ok(thieves.filter((thief) => thief !== null).length <= 1)
  const winner =
    thieves.find((thief) => thief !== null) ??
    (await acquireLock(hostKernel, path, { timeoutMs: 1_000 }))
  await winner[Symbol.asyncDispose]()
  assert.equal(await hostKernel.list(roots.runRoot), [])
})

test('versions are compared by number', () => {
  assert.ok(isNewer('0.10.0', '0.9.9'))
  assert.not(isNewer('0.9.9', '0.10.0'))
  assert.not(isNewer('1.0.0', '1.0.0'))
})

test.run()
