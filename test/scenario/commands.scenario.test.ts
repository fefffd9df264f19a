// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { baseEnvironment } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { containers, freePort, lacking, pids, SLEEPS, stage } from './stage.ts'

const PAK = join(import.meta.dirname, '..', '..', 'dist', 'pak.js')
const two = (project: string, keys = '') =>
  `name: ${project}\ncontainers:\n  web:\n    ${SLEEPS}\n${keys}  db:\n    ${SLEEPS}\n`

testUnless(
  test,
  lacking,
  'with -p no file is needed; outside of projects ps lists all; a closed pipe is quiet',
  async () => {
    await using pak = await stage()
    await pak.write('one.yaml', two('paktone'))
    await pak.write('two.yaml', two('pakttwo'))
    await pak.ok(['up', '-d', '-f', 'one.yaml'])
    await pak.ok(['-f', 'two.yaml', 'up', '-d'])
    assert.equal(Object.keys(await containers(pak)).sort(), [
      'paktone-db-1',
      'paktone-web-1',
      'pakttwo-db-1',
      'pakttwo-web-1',
    ])
    const named = await containers(pak, '-p', 'paktone')
    assert.equal(Object.keys(named).sort(), ['paktone-db-1', 'paktone-web-1'])
    assert.is(await pak.ok(['exec', '-p', 'paktone', 'web', 'hostname']), 'paktone-web-1\n')
    await pak.ok(['logs', '-p', 'paktone'])
    await pak.ok(['stop', '-p', 'paktone', 'web'])
    assert.is((await containers(pak))['paktone-web-1']?.state, 'stopped')
    await pak.ok(['down', '-p', 'paktone'])
    assert.equal(Object.keys(await containers(pak)).sort(), ['pakttwo-db-1', 'pakttwo-web-1'])

    const { root: PAK_ROOT, runRoot: PAK_RUN_ROOT } = pak
    const piped = spawnSync(
      'bash',
      ['-c', '"$0" "$1" ps | head -1; echo "$PIPESTATUS"', process.execPath, PAK],
      { cwd: pak.folder, env: { ...baseEnvironment(), PAK_ROOT, PAK_RUN_ROOT }, encoding: 'utf8' },
    )
    assert.is(piped.stderr, '')
    assert.match(piped.stdout, /^CONTAINER .*\n(0|141)\n$/)
  },
)

testUnless(test, lacking, 'JSON has the keys that other programs rely on', async () => {
  await using pak = await stage()
  const port = await freePort()
  await pak.write('pak.yaml', two('paktc', `    ports: ["${port}:80"]\n`))
  await pak.ok(['up', '-d'])
  const keys = async (...args: readonly string[]) => {
    const rows = await pak.json<Record<string, unknown> | Record<string, unknown>[]>(args)
    return Object.keys((Array.isArray(rows) ? rows[0] : rows) ?? {})
  }
  const has = (found: readonly string[], wanted: string) =>
    assert.equal(
      wanted.split(' ').filter((key) => !found.includes(key)),
      [],
    )
  has(
    await keys('ps', '-a'),
    'project service container id state health exitCode oomKilled restartCount pid image ports networks createdAt startedAt finishedAt',
  )
  assert.equal((await containers(pak))['paktc-web-1']?.ports, [
    { hostIp: '0.0.0.0', published: port, target: 80, protocol: 'tcp' },
  ])
  has(await keys('network', 'ls'), 'name project driver subnet gateway bridge internal')
  has(await keys('agent', 'status'), 'pid version startedAt projects socket')
  assert.not.ok(Array.isArray(await pak.json(['agent', 'status'])))
  const [event = ''] = (await pak.ok(['events', '--since', '1h', '--format', 'json'])).split('\n')
  has(Object.keys(JSON.parse(event)), 'time project type on because')
  const inspected = JSON.parse(await pak.ok(['inspect', 'web']))
  assert.is(inspected[0].name, 'paktc-web-1')
})

testUnless(test, lacking, 'stop, start, restart, kill and rm of single services', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', two('paktc'))
  await pak.ok(['up', '-d'])
  const before = await pids(pak)
  const web = async () => (await containers(pak))['paktc-web-1']
  const live = pak.start(['events', '--format', 'json'])
  let seen = ''
  live.stdout?.on('data', (chunk: Buffer) => {
    seen += chunk.toString('utf8')
  })
  await eventually('events are being followed', async () => {
    await pak.ok(['stop', 'web'])
    await pak.ok(['start', 'web'])
    return seen.includes('container.stopped') && seen.includes('container.started')
  })
  live.kill('SIGINT')
  await once(live, 'exit')
  assert.is((await web())?.state, 'running')
  await pak.ok(['restart', 'web'])
  assert.is.not((await web())?.pid, before['paktc-web-1'])
  await pak.ok(['kill', 'web'])
  const killed = await eventually('it is dead', async () => {
    const row = await web()
    return row?.state === 'stopped' ? row : null
  })
  assert.is(killed.exitCode, 137)
  await pak.ok(['rm', 'web'])
  assert.is(await web(), undefined)
  assert.is((await pids(pak))['paktc-db-1'], before['paktc-db-1'])
  await pak.ok(['rm', 'db'])
  assert.is((await pids(pak))['paktc-db-1'], before['paktc-db-1'], 'rm leaves what runs')
  await pak.ok(['rm', '-s', 'db'])
  assert.equal(await containers(pak), {})
  assert.is((await pak.run(['stop', 'nosuch'])).exitCode, 1)
})

testUnless(test, lacking, 'what config prints is the same manifest', async () => {
  await using pak = await stage()
  await pak.write(
    'pak.yaml',
    two(
      'paktc',
      '    environment: [A=$$HOME, "B=two words"]\n    limits: { cpu: 25%, memory: 64M }\n    depends_on: [db]\n    healthcheck: { test: echo ok, interval: 90s }\n',
    ),
  )
  await pak.ok(['up', '-d'])
  await pak.write('again.yaml', await pak.ok(['config']))
  await pak.write('again.json', await pak.ok(['config', '--format', 'json']))
  for (const file of ['again.yaml', 'again.json']) {
    const same = await pak.run(['plan', '--detailed-exitcode', '-f', file])
    assert.is(same.exitCode, 0, `${file}: ${same.stdout}${same.stderr}`)
  }
})

testUnless(
  test,
  lacking,
  'wrong files and wrong words: 2, with the place and what was meant',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', two('paktc', '    enviroment: { A: b }\n    ports: ["80800:80"]\n'))
    const invalid = await pak.run(['validate'])
    assert.is(invalid.exitCode, 2)
    assert.match(invalid.stderr, /pak\.yaml:\d+:\d+/)
    assert.match(invalid.stderr, /\^{3,}/)
    assert.match(invalid.stderr, '`environment`')
    assert.match(invalid.stderr, '80800')
    assert.is((await pak.run(['up', '-d'])).exitCode, 2)
    const mistyped = await pak.run(['exex'])
    assert.is(mistyped.exitCode, 2)
    assert.match(mistyped.stderr, 'did you mean `exec`')
    assert.match((await pak.run(['up', '--detatch'])).stderr, '--detach')
    assert.match(await pak.ok(['up', '--help']), /^Usage: pak up .*\n\nExamples:/)
  },
)

testUnless(
  test,
  lacking,
  'progress in a pipe is a line for each thing done, and data is alone',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', two('paktc'))
    const up = await pak.run(['up', '-d'])
    assert.is(up.stdout, '')
    const lines = up.stderr.trimEnd().split('\n')
    assert.match(up.stderr, 'create service/web/1: missing')
    assert.ok(lines.length <= 8, up.stderr)
    assert.not.match(up.stderr, '\u001b')
    assert.match(lines.at(-1) ?? '', /^paktc: \d+ created in /)
    assert.match(await pak.ok(['__complete', '--', 'logs', 'w']), /^web\n$/)
  },
)

test.run()
