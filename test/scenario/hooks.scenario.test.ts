// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  forever,
  killed,
  manifest,
  pidOf,
  ps,
} from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

/** A line in a file that all containers of a test share. */
const note = (line: string) => `echo "${line}" >> /shared/log`
const sh = (script: string) => ['sh', '-c', script]
const hook = (script: string) => [{ command: sh(script) }]

async function shared(): Promise<PakSandbox & { readonly volumes: readonly string[] }> {
  const sandbox = await busyboxSandbox()
  await sandbox.write('shared/log', '')
  return { ...sandbox, volumes: [`${join(sandbox.folder, 'shared')}:/shared`] }
}

async function noted(sandbox: PakSandbox): Promise<readonly string[]> {
  const text = await readFile(join(sandbox.folder, 'shared/log'), 'utf8')
  return text.split('\n').filter(Boolean)
}

const hooksThatFailed = async (sandbox: PakSandbox): Promise<readonly string[]> =>
  (await sandbox.ok(['events', '--since', '10m', '--format', 'json']))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as { type: string; because: { message: string } })
    .flatMap(({ type, because }) => (type === 'hook.failed' ? [because.message] : []))

testUnless(
  test,
  fleetLacks(),
  'hooks come after the start and before the stop, in the order of what depends on what',
  async () => {
    await using sandbox = await shared()
    const { volumes } = sandbox
    const environment = { NAME: 'db', PLACE: 'here' }
    const set = { user: '123', working_dir: '/tmp', environment: { PLACE: 'there' } }
    const db = {
      volumes,
      environment,
      post_start: [
        { command: sh(note('$$NAME first')) },
        { command: sh('echo "second $$(id -u) $$PWD $$NAME $$PLACE" > /shared/of123'), ...set },
        { command: sh(note('third')) },
      ],
      pre_stop: hook(note('db stops')),
    }
    const app = {
      volumes,
      command: sh(`${note('app runs')}; exec ${forever.slice(0, 2).join(' ')} '${forever[2]}'`),
      depends_on: ['db'],
      pre_stop: hook(note('app stops')),
    }
    await sandbox.write('pak.yaml', manifest({ db, app }))
    const openToAll = join(sandbox.folder, 'shared/of123')
    await sandbox.write('shared/of123', '')
    const { chmod } = await import('node:fs/promises')
    await chmod(openToAll, 0o666)
    assert.match(await sandbox.ok(['plan']), 'then its 3 post_start hooks')
    await sandbox.ok(['up', '-d'])
    assert.equal(await noted(sandbox), ['db first', 'third', 'app runs'])
    assert.is(await readFile(openToAll, 'utf8'), 'second 123 /tmp db there\n')
    assert.match(await sandbox.ok(['plan']), 'nothing to do')
    await sandbox.ok(['down'])
    assert.equal((await noted(sandbox)).slice(3), ['app stops', 'db stops'])
    await nothingLeft(sandbox)
  },
)

testUnless(
  test,
  fleetLacks(),
  'a post_start hook that fails fails the start, and what needs it; it is tried again',
  async () => {
    await using sandbox = await shared()
    const { volumes } = sandbox
    const post_start = hook(`${note('hook')}; test -e /shared/good || { echo not yet; exit 3; }`)
    const services = {
      db: { volumes, post_start },
      app: { depends_on: ['db'] },
    }
    await sandbox.write('pak.yaml', manifest(services))
    const { exitCode, stderr } = await sandbox.run(['up', '-d'])
    assert.is(exitCode, 1)
    assert.match(stderr, /post_start of container `fleet-db-1`, .*: exit status 3: not yet/)
    const rows = await ps(sandbox)
    assert.is(rows['app']?.state, 'created')
    await eventually('it is tried again', async () => (await noted(sandbox)).length >= 3)
    assert.ok((await hooksThatFailed(sandbox)).length >= 2)
    await sandbox.write('shared/good', '')
    await eventually('both run', async () => {
      const states = Object.values(await ps(sandbox)).map(({ state }) => state)
      return states.every((state) => state === 'running')
    })
  },
)

testUnless(
  test,
  fleetLacks(),
  'a hook is confined as its container is, unless it is privileged',
  async () => {
    await using sandbox = await shared()
    const { volumes } = sandbox
    const command = sh('grep CapEff /proc/self/status >> /shared/log')
    const web = {
      volumes,
      cap_drop: ['ALL'],
      command: sh(`grep CapEff /proc/self/status >> /shared/log; exec sleep 1000`),
      stop_signal: 'SIGKILL',
    }
    const post_start = [
      { command: sh('until test -s /shared/log; do sleep 0.1; done') },
      { command },
      { command, privileged: true },
    ]
    await sandbox.write('pak.yaml', manifest({ web: { ...web, post_start } }))
    await sandbox.ok(['up', '-d'])
    const [own, plain, privileged] = (await noted(sandbox)).map((line) => line.split('\t')[1])
    assert.is(own, '0000000000000000')
    assert.is(plain, own)
    assert.is.not(privileged, own)
  },
)

testUnless(
  test,
  fleetLacks(),
  'a start that fails again and again does not hold up the others',
  async () => {
    await using sandbox = await busyboxSandbox()
    const services = { bad: { post_start: hook('exit 1') }, good: { restart: 'always' } }
    await sandbox.write('pak.yaml', manifest(services))
    assert.is((await sandbox.run(['up', '-d'])).exitCode, 1)
    // The fifth is eight seconds before the sixth.
    const often = async () => (await hooksThatFailed(sandbox)).length >= 5
    await eventually('it has failed often', often, { withinMs: 20_000 })
    await killed(await pidOf(sandbox, 'good'))
    const back = async () => (await ps(sandbox))['good']?.restartCount === 1
    await eventually('the other is back', back, { withinMs: 3_000 })
  },
)

testUnless(
  test,
  fleetLacks(),
  'a pre_stop hook has the grace period and no more, and prevents no stop; a kill runs none',
  async () => {
    await using sandbox = await shared()
    const { volumes } = sandbox
    const services = {
      fails: { volumes, pre_stop: hook('echo no way; exit 5') },
      hangs: { volumes, pre_stop: hook(`${note('hang')}; sleep 1000`), stop_grace_period: '1s' },
      killed: { volumes, pre_stop: hook(note('never')) },
      paused: { volumes, pre_stop: hook(note('woken')) },
    }
    await sandbox.write('pak.yaml', manifest(services))
    await sandbox.ok(['up', '-d'])
    await sandbox.ok(['kill', 'killed'])
    await sandbox.ok(['pause', 'paused'])
    const hangs = await pidOf(sandbox, 'hangs')
    const { exitCode, stderr } = await sandbox.run(['stop'])
    assert.is(exitCode, 0)
    assert.match(stderr, /pre_stop of container `fleet-fails-1`, .*: exit status 5: no way/)
    assert.match(stderr, /pre_stop of container `fleet-hangs-1`, .*: no end within 1000 ms/)
    const states = Object.values(await ps(sandbox)).map(({ state }) => state)
    assert.equal(states, ['stopped', 'stopped', 'stopped', 'stopped'])
    assert.equal([...(await noted(sandbox))].sort(), ['hang', 'woken'])
    assert.is((await hooksThatFailed(sandbox)).length, 2)
    assert.throws(() => process.kill(hangs, 0))
    await sandbox.ok(['start', 'fails'])
    await sandbox.ok(['stop', '-t', '0', 'fails'])
    assert.is((await hooksThatFailed(sandbox)).length, 2)
  },
)

testUnless(
  test,
  fleetLacks(),
  'the policy runs hooks again; in a container that ended they are an error with its exit code true',
  async () => {
    await using sandbox = await shared()
    const { volumes } = sandbox
    const services = {
      again: { volumes, restart: 'always', post_start: hook(note('again')) },
      short: { command: sh('sleep 1; exit 7'), post_start: hook('sleep 1000') },
    }
    await sandbox.write('pak.yaml', manifest(services))
    const { exitCode, stderr } = await sandbox.run(['up', '-d'])
    assert.is(exitCode, 1)
    assert.match(stderr, 'post_start of container `fleet-short-1`')
    await eventually('its end is written down', async () => {
      const row = (await ps(sandbox))['short']
      return row?.state === 'stopped' && row.exitCode === 7
    })
    await killed(await pidOf(sandbox, 'again'))
    await eventually('it was run again', async () => (await noted(sandbox)).length === 2)
    await eventually('it runs', async () => (await ps(sandbox))['again']?.restartCount === 1)
  },
)

testUnless(
  test,
  fleetLacks(),
  'hooks that a killed agent was in the middle of are run by the next',
  async () => {
    await using sandbox = await shared()
    const { volumes } = sandbox
    const script = `${note('begins')}; until test -e /shared/go; do sleep 0.1; done; ${note('done')}`
    const services = {
      web: { volumes, post_start: hook(script) },
      app: { depends_on: ['web'] },
    }
    await sandbox.write('pak.yaml', manifest(services))
    const up = sandbox.start(['up', '-d'])
    await eventually('the hook runs', async () => (await noted(sandbox)).includes('begins'))
    const pid = await pidOf(sandbox, 'web')
    await killed((await agentPids(sandbox)).agent)
    up.kill('SIGKILL')
    await eventually('it runs anew', async () => {
      return (await noted(sandbox)).filter((line) => line === 'begins').length === 2
    })
    await sandbox.write('shared/go', '')
    await sandbox.ok(['up', '-d'])
    assert.ok((await noted(sandbox)).includes('done'))
    assert.is(await pidOf(sandbox, 'web'), pid)
    assert.match(await sandbox.ok(['plan']), 'nothing to do')
    await rm(join(sandbox.folder, 'shared/go'))
  },
)

test.run()
