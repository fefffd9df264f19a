// not in the emulated machine: limits.scenario and runtime.kernel show the cgroups there; this starts Node dozens of times
import * as fs from 'node:fs/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testUnless } from '../support/skip.ts'
import { containers, freePort, lacking, type PlanJson, pids, SLEEPS, stage } from './stage.ts'

// What `up` and `plan` do when the file changes, asked from outside: pids, cgroups, addresses.

testUnless(
  test,
  lacking,
  'a second up has no step, and the order of keys and the form of lists are no change',
  async () => {
    await using pak = await stage()
    const port = await freePort()
    const write = (keys: string) =>
      pak.write('pak.yaml', `name: paktp\ncontainers:\n  web:\n    ${SLEEPS}\n${keys}`)
    await write(
      `    environment: { A: one, B: "2" }\n    labels: [x=1, y=2]\n    ports: ["${port}:80"]\n`,
    )
    await pak.ok(['up', '-d'])
    const before = await pids(pak)
    const again = await pak.run(['up', '-d'])
    assert.is(again.exitCode, 0)
    assert.match(again.stderr, 'nothing to do')
    assert.equal(await pids(pak), before)
    assert.is((await pak.run(['plan', '--detailed-exitcode'])).exitCode, 0)

    await write(
      `    ports: [{ published: ${port}, target: 80 }]\n    labels: { y: "2", x: "1" }\n    environment: [B=2, A=one]\n`,
    )
    const same = await pak.run(['plan', '--detailed-exitcode'])
    assert.is(same.exitCode, 0, same.stdout)
  },
)

testUnless(
  test,
  lacking,
  'a changed variable is the one reason for the one recreate; a saved plan is applied once, and refused when the machine has moved',
  async () => {
    await using pak = await stage()
    const write = (value: string) =>
      pak.write(
        'pak.yaml',
        `name: paktp\ncontainers:\n  web:\n    ${SLEEPS}\n    environment: { GREETING: ${value}, KEPT: "1" }\n  db:\n    ${SLEEPS}\n`,
      )
    await write('hello')
    await pak.ok(['up', '-d'])
    const before = await pids(pak)
    await write('bonjour')
    const changed = await pak.run(['plan', '--detailed-exitcode', '-o', 'saved.json'])
    assert.is(changed.exitCode, 2)
    assert.match(changed.stdout, 'environment.GREETING: "hello" -> "bonjour"')
    assert.not.match(changed.stdout, 'KEPT')
    const plan = await pak.json<PlanJson>(['plan'])
    assert.equal(Object.keys(plan).sort(), ['project', 'steps', 'summary', 'warnings'])
    assert.equal(plan.summary, {
      create: 0,
      update: 0,
      recreate: 1,
      remove: 0,
      start: 0,
      stop: 0,
    })
    for (const step of plan.steps)
      assert.equal(Object.keys(step).sort(), ['because', 'destroys', 'id', 'needs', 'on', 'op'])
    assert.equal([...new Set(plan.steps.map(({ on }) => on))], ['service/web/1'])

    // The saved plan is what is applied, whatever the file says by now.
    await write('later')
    await pak.ok(['up', '-d', '--plan', 'saved.json'])
    assert.is((await pak.ok(['exec', 'web', 'sh', '-c', 'echo $GREETING'])).trim(), 'bonjour')
    const after = await pids(pak)
    assert.is(after['paktp-db-1'], before['paktp-db-1'])
    assert.is.not(after['paktp-web-1'], before['paktp-web-1'])
    const stale = await pak.run(['up', '-d', '--plan', 'saved.json'])
    assert.is(stale.exitCode, 1)
    assert.match(stale.stderr, 'moved')
    assert.equal(await pids(pak), after)
    assert.is((await fs.stat(`${pak.folder}/saved.json`)).mode & 0o077, 0)
  },
)

testUnless(
  test,
  lacking,
  'limits, ports, labels and the restart policy change while it runs; the cgroup shows it',
  async () => {
    await using pak = await stage()
    const [first, second] = [await freePort(), await freePort()]
    const write = (keys: string) =>
      pak.write('pak.yaml', `name: paktp\ncontainers:\n  web:\n    ${SLEEPS}\n${keys}`)
    await write(
      `    limits: { memory: 64M, pids: 50 }\n    ports: ["${first}:80"]\n    labels: { a: b }\n    restart: "no"\n`,
    )
    await pak.ok(['up', '-d'])
    const before = await pids(pak)
    assert.is(await memoryLimit(before['paktp-web-1'] ?? 0), 64 * 1024 ** 2)
    await write(
      `    limits: { memory: 96M, pids: 60 }\n    ports: ["${second}:80"]\n    labels: { a: c }\n    restart: always\n`,
    )
    const plan = await pak.json<PlanJson>(['plan'])
    assert.is(plan.summary['recreate'], 0)
    await pak.ok(['up', '-d'])
    assert.equal(await pids(pak), before)
    assert.is(await memoryLimit(before['paktp-web-1'] ?? 0), 96 * 1024 ** 2)
    const { 'paktp-web-1': web } = await containers(pak)
    assert.equal(
      web?.ports.map(({ published }) => published),
      [second],
    )
    assert.is((await pak.run(['plan', '--detailed-exitcode'])).exitCode, 0)
  },
)

testUnless(
  test,
  lacking,
  'another subnet makes its containers anew; a renamed service leaves an orphan that is named',
  async () => {
    await using pak = await stage()
    const write = (name: string, subnet: string) =>
      pak.write(
        'pak.yaml',
        `name: paktp\ncontainers:\n  ${name}:\n    ${SLEEPS}\n    networks: [front]\n  alone:\n    ${SLEEPS}\n    networks: [back]\nnetworks:\n  front: { subnet: ${subnet} }\n  back:\n`,
      )
    await write('web', '10.213.1.0/24')
    await pak.ok(['up', '-d'])
    const before = await pids(pak)
    await write('web', '10.213.2.0/24')
    await pak.ok(['up', '-d'])
    const after = await containers(pak)
    assert.match(after['paktp-web-1']?.networks['front']?.ip ?? '', /^10\.213\.2\./)
    assert.is(after['paktp-alone-1']?.pid, before['paktp-alone-1'])

    await write('page', '10.213.2.0/24')
    const renamed = await pak.run(['up', '-d'])
    assert.is(renamed.exitCode, 0)
    assert.match(renamed.stderr, /warning: `paktp-web-1`.*--remove-orphans/)
    assert.equal(Object.keys(await containers(pak)).sort(), [
      'paktp-alone-1',
      'paktp-page-1',
      'paktp-web-1',
    ])
    await pak.ok(['up', '-d', '--remove-orphans'])
    assert.equal(Object.keys(await containers(pak)).sort(), ['paktp-alone-1', 'paktp-page-1'])
  },
)

testUnless(
  test,
  lacking,
  'services on the command line bring what they need; --no-deps, --scale, --force-recreate and --dry-run',
  async () => {
    await using pak = await stage()
    await pak.write(
      'pak.yaml',
      `name: paktp\ncontainers:\n  web:\n    ${SLEEPS}\n    depends_on: [db]\n  db:\n    ${SLEEPS}\n  other:\n    ${SLEEPS}\n`,
    )
    const dry = await pak.run(['up', '--dry-run'])
    assert.is(dry.exitCode, 0)
    assert.match(dry.stdout, 'service/web/1')
    assert.equal(await containers(pak), {})
    const unknown = await pak.run(['up', '-d', 'wep'])
    assert.is(unknown.exitCode, 1)
    assert.match(unknown.stderr, /`wep`.*\n.*did you mean `web`/)

    await pak.ok(['up', '-d', '--no-deps', 'web'])
    assert.equal(Object.keys(await pids(pak)), ['paktp-web-1'])
    await pak.ok(['up', '-d', 'web'])
    assert.equal(Object.keys(await pids(pak)), ['paktp-db-1', 'paktp-web-1'])
    const before = await pids(pak)
    await pak.ok(['up', '-d', '--force-recreate', '--no-deps', '--scale', 'web=3', 'web'])
    const scaled = await pids(pak)
    assert.equal(Object.keys(scaled), ['paktp-db-1', 'paktp-web-1', 'paktp-web-2', 'paktp-web-3'])
    assert.is(scaled['paktp-db-1'], before['paktp-db-1'])
    assert.is.not(scaled['paktp-web-1'], before['paktp-web-1'])
    await pak.ok(['up', '-d', 'web'])
    assert.equal(await pids(pak), {
      'paktp-db-1': before['paktp-db-1'],
      'paktp-web-1': scaled['paktp-web-1'],
    })
  },
)

testUnless(
  test,
  lacking,
  'up --wait ends with a failure when a check fails, or time is up',
  async () => {
    await using pak = await stage()
    const write = (check: string) =>
      pak.write(
        'pak.yaml',
        `name: paktp\ncontainers:\n  web:\n    ${SLEEPS}\n    healthcheck: { ${check} }\n`,
      )
    await write('test: [CMD, "true"], start_period: 10s, start_interval: 200ms')
    await pak.ok(['up', '-d', '--wait'])
    assert.match(await pak.ok(['ps']), 'healthy')
    await write('test: [CMD, "false"], interval: 200ms, retries: 2')
    const unhealthy = await pak.run(['up', '--wait'])
    assert.is(unhealthy.exitCode, 1)
    assert.match(unhealthy.stderr, 'unhealthy')
    await write('test: [CMD, "false"], start_period: 60s, start_interval: 200ms')
    const late = await pak.run(['up', '--wait', '--wait-timeout', '1'])
    assert.is(late.exitCode, 1)
    assert.match(late.stderr, 'paktp-web-1')
  },
)

/** `memory.max` or `memory.limit_in_bytes` of the cgroup that a process is in. */
async function memoryLimit(pid: number): Promise<number> {
  const lines = (await fs.readFile(`/proc/${pid}/cgroup`, 'utf8')).split('\n')
  const v1 = lines.find((line) => line.split(':')[1] === 'memory')
  const path = (v1 ?? lines.find((line) => line.startsWith('0::')) ?? '').split(':')[2]
  const file =
    v1 === undefined
      ? `/sys/fs/cgroup${path}/memory.max`
      : `/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`
  return Number(await fs.readFile(file, 'utf8'))
}

test.run()
