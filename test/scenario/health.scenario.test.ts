// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { readFile } from 'node:fs/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import {
  agentPids,
  busyboxSandbox,
  fleetLacks,
  freePort,
  killed,
  manifest,
  pidOf,
  ps,
} from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const serving = (port: number) => [
  'sh',
  '-c',
  `mkdir -p /tmp/w; echo fine > /tmp/w/ready; exec httpd -f -p ${port} -h /tmp/w`,
]
const often = { interval: '200ms', retries: 3 }

testUnless(
  test,
  fleetLacks(),
  'http and tcp checks reach a container in every network mode, and see who does not answer',
  async () => {
    await using sandbox = await busyboxSandbox()
    const port = await freePort()
    const http = (on: number) => ({ healthcheck: { ...often, http: `${on}/ready` } })
    const services = {
      bridged: { command: serving(80), ...http(80), networks: ['back'] },
      tcp: { command: serving(80), healthcheck: { ...often, tcp: 80 } },
      alone: { command: serving(80), ...http(80), network_mode: 'none' },
      open: { command: serving(port), ...http(port), network_mode: 'host' },
      lodger: { command: serving(81), ...http(81), network_mode: 'service:bridged' },
      missing: {
        command: serving(80),
        healthcheck: { ...often, http: { port: 80, path: '/nowhere' } },
      },
      closed: { healthcheck: { ...often, tcp: 80 } },
      closedAlone: { network_mode: 'none', healthcheck: { ...often, tcp: 80 } },
    }
    const networks = { back: { internal: true } }
    await sandbox.write('pak.yaml', manifest(services, { networks }))
    await sandbox.ok(['up', '-d'])
    const rows = await eventually('all have a verdict', async () => {
      const found = await ps(sandbox)
      return Object.values(found).some(({ health }) => health === 'starting') ? null : found
    })
    const health = Object.fromEntries(
      Object.entries(rows).map(([service, row]) => [service, row.health]),
    )
    assert.equal(health, {
      alone: 'healthy',
      bridged: 'healthy',
      closed: 'unhealthy',
      closedAlone: 'unhealthy',
      lodger: 'healthy',
      missing: 'unhealthy',
      open: 'healthy',
      tcp: 'healthy',
    })
    const said = (await verdicts(sandbox)).map(({ on, output }) => `${on} ${output}`)
    assert.match(said.join('\n'), /missing\/1 GET http:\/\/:80\/nowhere: 404 Not Found/)
    assert.match(said.join('\n'), /closed\/1 tcp :80: connect ECONNREFUSED/)
    assert.match(said.join('\n'), /closedAlone\/1 tcp :80: connect ECONNREFUSED/)
    await sandbox.ok(['down', '-t', '0'])
    await nothingLeft(sandbox)
  },
)

const SICKENS = {
  command: ['sh', '-c', 'rm -f /tmp/sick; trap "exit 0" TERM; while :; do sleep 100 & wait; done'],
  healthcheck: {
    ...often,
    test: 'test ! -e /tmp/sick || { printf "\\033[31mI am sick\\033[0m\\n"; exit 1; }',
  },
}

testUnless(
  test,
  fleetLacks(),
  'unhealthy three times: restarted, once, with what the last check said',
  async () => {
    await using sandbox = await busyboxSandbox()
    const { healthcheck } = SICKENS
    const web = { ...SICKENS, healthcheck: { ...healthcheck, on_unhealthy: 'restart' } }
    const services = {
      web,
      beside: { depends_on: { web: { condition: 'service_healthy', restart: true } } },
    }
    await sandbox.write('pak.yaml', manifest(services))
    await sandbox.ok(['up', '-d'])
    const before = await ps(sandbox)
    await sandbox.ok(['exec', 'web', 'touch', '/tmp/sick'])
    const after = await eventually('it is healthy again, in another run', async () => {
      const rows = await ps(sandbox)
      const { web: now, beside } = rows
      const well = now?.health === 'healthy' && now.startedAt !== before['web']?.startedAt
      return well && beside?.startedAt !== before['beside']?.startedAt ? rows : null
    })
    const [verdict, ...others] = await verdicts(sandbox)
    assert.equal(others, [])
    assert.is(verdict?.output, 'I am sick\n')
    const reasons = (await events(sandbox)).filter(({ because }) => because?.kind === 'unhealthy')
    assert.equal(
      reasons.map(({ type, on }) => `${type} ${on}`),
      [
        'container.sickened service/web/1',
        'container.stopped service/web/1',
        'container.started service/web/1',
      ],
    )
    assert.is(after['web']?.restartCount, 0)
    await killed((await agentPids(sandbox)).agent)
    assert.is((await ps(sandbox))['web']?.startedAt, after['web']?.startedAt)
  },
)

testUnless(
  test,
  fleetLacks(),
  'on_unhealthy: stop holds against its restart policy and a new agent, until up',
  async () => {
    await using sandbox = await busyboxSandbox()
    const healthcheck = { ...SICKENS.healthcheck, on_unhealthy: 'stop' }
    const web = { ...SICKENS, healthcheck, restart: 'always' }
    await sandbox.write('pak.yaml', manifest({ web }))
    await sandbox.ok(['up', '-d'])
    await sandbox.ok(['exec', 'web', 'touch', '/tmp/sick'])
    const stopped = async () => (await ps(sandbox))['web']?.state === 'stopped'
    await eventually('it is stopped', stopped)
    await killed((await agentPids(sandbox)).agent)
    assert.ok(await stopped())
    await sandbox.ok(['up', '-d'])
    assert.is((await ps(sandbox))['web']?.state, 'running')
  },
)

testUnless(test, fleetLacks(), 'a user does not wait for what the loop waits for', async () => {
  await using sandbox = await busyboxSandbox()
  const healthcheck = { test: 'test ! -e /tmp/again', interval: '100ms', retries: 1000 }
  const services = {
    db: {
      command: ['sh', '-c', 'test -e /tmp/ran && touch /tmp/again; touch /tmp/ran; sleep 1000'],
      stop_signal: 'SIGKILL',
      restart: 'always',
      healthcheck,
    },
    app: { depends_on: { db: { condition: 'service_healthy' } }, restart: 'always' },
  }
  await sandbox.write('pak.yaml', manifest(services))
  await sandbox.ok(['up', '-d'])
  await sandbox.ok(['restart', 'db'])
  await killed(await pidOf(sandbox, 'app'))
  await eventually('app is due', async () => (await ps(sandbox))['app']?.state === 'restarting')
  // From here on the loop waits, for five minutes, until db is healthy.
  await sandbox.ok(['down', '-t', '0'], { timeoutMs: 30_000 })
  await nothingLeft(sandbox)
})

testUnless(
  test,
  fleetLacks(),
  'a check that hangs, forks and prints without end is killed with all it started, and costs little',
  async () => {
    await using sandbox = await busyboxSandbox()
    const script = '(sleep 6666 &); sleep 7777 & (while :; do sleep 7777; done) & yes | cat'
    const check = { test: script, interval: '100ms', timeout: '1s', retries: 2 }
    await sandbox.write('pak.yaml', manifest({ web: { healthcheck: check } }))
    await sandbox.ok(['up', '-d'])
    const { agent } = await agentPids(sandbox)
    await eventually('unhealthy', async () => (await ps(sandbox))['web']?.health === 'unhealthy')
    const peakKb = Number(
      /VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${agent}/status`, 'utf8'))?.[1],
    )
    assert.ok(peakKb < 200_000, `${peakKb} kB`)
    // Of the check under way at most; several have ended.
    const lines = (await sandbox.ok(['top'])).split('\n')
    assert.ok(lines.filter((line) => line.endsWith(' yes')).length <= 1, lines.join('\n'))
    assert.ok(lines.filter((line) => line.endsWith(' sleep 6666')).length <= 1, lines.join('\n'))
    assert.ok(lines.length < 12, lines.join('\n'))
  },
)

interface Event {
  readonly type: string
  readonly on: string
  readonly because: { readonly kind: string; readonly output?: string } | null
}

async function events(sandbox: PakSandbox): Promise<readonly Event[]> {
  const text = await sandbox.ok(['events', '--since', '10m', '--format', 'json'])
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Event)
}

async function verdicts(sandbox: PakSandbox) {
  return (await events(sandbox))
    .filter(({ type }) => type === 'container.sickened')
    .map(({ on, because }) => ({ on, output: because?.output }))
}

test.run()
