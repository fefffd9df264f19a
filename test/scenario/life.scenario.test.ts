// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import { testUnless } from '../support/skip.ts'
import { labWith, lacksContainers, rowOf } from './lab.ts'
import { containers } from './stage.ts'

const service = (name: string, script: string, keys = ''): string =>
  `${name}:\n  rootfs: ./rootfs\n  stop_signal: SIGKILL\n${keys}  command: [sh, -c, ${JSON.stringify(script)}]\n`

testUnless(test, lacksContainers(), 'wait prints exit codes and exits with the last', async () => {
  await using pak = await labWith(
    'paktwait',
    service('three', 'sleep 1; exit 3') +
      service('seven', 'sleep 2; exit 7') +
      service('again', 'sleep 1; exit 5', '  restart: always\n'),
  )
  await pak.ok(['up', '-d'])
  assert.is((await pak.run(['wait', 'none'])).exitCode, 1)
  const both = await pak.run(['wait', 'three', 'seven'])
  assert.equal([both.exitCode, both.stdout], [7, '3\n7\n'])
  const ended = await pak.run(['wait', 'three'])
  assert.equal([ended.exitCode, ended.stdout], [3, '3\n'])
  const again = await pak.run(['wait', 'again'])
  assert.equal([again.exitCode, again.stdout], [5, '5\n'])
  const last = await pak.run(['wait', '--down-project', 'seven'])
  assert.is(last.exitCode, 7)
  assert.equal(await containers(pak), {})
})

testUnless(test, lacksContainers(), 'scale holds until the next plain up', async () => {
  const sleeps = 'exec sleep 100000'
  await using pak = await labWith('paktscale', service('web', sleeps) + service('db', sleeps))
  const names = async () => Object.keys(await containers(pak)).sort()
  await pak.ok(['up', '-d'])
  const before = (await rowOf(pak, 'db')).pid
  await pak.ok(['scale', 'web=3'])
  const three = ['paktscale-db-1', 'paktscale-web-1', 'paktscale-web-2', 'paktscale-web-3']
  assert.equal(await names(), three)
  // The loop keeps what was asked for, too.
  await pak.ok(['agent', 'stop'])
  await pak.ok(['agent', 'start'])
  await eventually('it is still three', async () => (await names()).length === 4)
  const bad = await pak.run(['scale', 'web'])
  assert.is(bad.exitCode, 2)
  await pak.ok(['up', '-d'])
  assert.equal(await names(), ['paktscale-db-1', 'paktscale-web-1'])
  await pak.ok(['up', '-d', '--scale', 'web=2'])
  assert.is((await names()).length, 3)
  assert.is((await rowOf(pak, 'db')).pid, before)
  await pak.ok(['scale', 'web=0'])
  assert.equal(await names(), ['paktscale-db-1'])
})

testUnless(test, lacksContainers(), 'run: one container more, with this stdio', async () => {
  const db = service('db', 'exec sleep 100000')
  const web = service(
    'web',
    'exec sleep 100000',
    '  depends_on: [db]\n  environment: { GREETING: hello }\n  working_dir: /tmp\n',
  )
  await using pak = await labWith('paktrun', db + web)
  const names = async () => Object.keys(await containers(pak)).sort()
  const script =
    'echo "$GREETING $MORE $(pwd)"; hostname; ip -o -4 addr show eth0; echo bad >&2; exit 7'
  const first = await pak.run(['run', '--rm', '-T', '-e', 'MORE=x', 'web', 'sh', '-c', script])
  assert.is(first.exitCode, 7, first.stderr)
  assert.match(first.stdout, /^hello x \/tmp\npaktrun-web-run-[0-9a-f]{8}\n/)
  assert.match(first.stdout, / inet 1/)
  assert.match(first.stderr, /bad/)
  // Its dependency stays, the service itself was not asked for.
  assert.equal(await names(), ['paktrun-db-1'])

  await pak.ok(['up', '-d'])
  const kept = await pak.run([
    'run',
    '-T',
    '--name',
    'once',
    '-w',
    '/',
    'web',
    'cat',
    '/etc/hostname',
  ])
  assert.equal([kept.exitCode, kept.stdout], [0, 'once\n'])
  assert.is((await containers(pak))['once']?.state, 'stopped')
  assert.is((await containers(pak))['once']?.exitCode, 0)
  const again = await pak.run(['up', '-d', '--remove-orphans'])
  assert.match(again.stderr, /nothing to do/)
  assert.not.match(again.stderr, /once/)
  assert.equal(await names(), ['once', 'paktrun-db-1', 'paktrun-web-1'])
  const twice = await pak.run(['run', '-T', '--name', 'once', 'web', 'true'])
  assert.is(twice.exitCode, 125)

  const missing = await pak.run(['run', '--rm', '-T', '--no-deps', 'web', 'no-such-program'])
  assert.is(missing.exitCode, 127)
  assert.match(missing.stderr, /no-such-program/)
  const entry = ['run', '--rm', '-T', '-u', '1234', '--entrypoint', 'id -u', 'web']
  assert.is(await pak.ok(entry), '1234\n')
  assert.is((await pak.run(['run', '-T', 'none'])).exitCode, 125)
  assert.equal(await names(), ['once', 'paktrun-db-1', 'paktrun-web-1'])
  await pak.ok(['down'])
  assert.equal(await names(), [])
})

testUnless(test, lacksContainers(), 'cp both ways, and no link leads out', async () => {
  await using pak = await labWith(
    'paktcp',
    service(
      'web',
      'mkdir -p /srv/a; echo one > /srv/a/f; ln -s f /srv/a/l; ln -s /srv /way; ln -s /etc /srv/etc; ln -s ../../../../.. /up; exec sleep 100000',
      '  tmpfs: [/mem]\n',
    ),
  )
  const at = (...path: readonly string[]) => join(pak.folder, ...path)
  const text = (...path: readonly string[]) => readFile(at(...path), 'utf8')
  await pak.ok(['up', '-d'])
  await eventually(
    'it has made its files',
    async () => (await pak.run(['exec', 'web', 'test', '-L', '/up'])).exitCode === 0,
  )
  await pak.ok(['cp', 'web:/way/a/f', 'f'])
  assert.is(await text('f'), 'one\n')
  await pak.ok(['cp', 'web:/srv/a', 'new'])
  assert.is(await text('new', 'l'), 'one\n')
  await mkdir(at('there'))
  await pak.ok(['cp', 'web:/srv/a', 'there'])
  assert.is(await text('there', 'a', 'f'), 'one\n')
  await pak.ok(['cp', 'web:/srv/a/.', 'there'])
  assert.is(await text('there', 'f'), 'one\n')
  assert.is((await pak.run(['cp', 'web:/none', 'x'])).exitCode, 1)

  // /srv/etc is a link to /etc: the container's, never this machine's. /up stops at the root.
  const name = `pakt-${process.pid}`
  await pak.write('in/sub/g', 'two\n')
  await pak.ok(['cp', 'in/sub/g', `web:/srv/etc/${name}`])
  assert.not.ok(existsSync(`/etc/${name}`))
  const cat = async (path: string) => pak.ok(['exec', 'web', 'cat', path])
  assert.is(await cat(`/etc/${name}`), 'two\n')
  await pak.ok(['cp', 'in', `web:/up/${name}`])
  assert.is(await cat(`/${name}/sub/g`), 'two\n')
  assert.not.ok(existsSync(`/${name}`))
  await pak.ok(['cp', 'in/.', 'web:/mem'])
  assert.is(await cat('/mem/sub/g'), 'two\n')
  await pak.ok(['cp', 'in', 'web:/srv'])
  assert.is((await pak.ok(['exec', 'web', 'stat', '-c', '%u', '/srv/in/sub/g'])).trim(), '0')
  await pak.write('in/sub/g', 'three\n')
  await pak.ok(['cp', 'in', 'web:/srv'])
  assert.is(await cat('/srv/in/sub/g'), 'three\n')

  await pak.ok(['stop'])
  await pak.ok(['cp', 'web:/srv/in/sub/g', 'stopped'])
  assert.is(await text('stopped'), 'three\n')
  await pak.ok(['cp', 'f', `web:/srv/etc/${name}`])
  assert.not.ok(existsSync(`/etc/${name}`))
  // A refusal is heard while most of what was to be copied is still to be sent.
  await pak.write('big', 'x'.repeat(8_000_000))
  for (let round = 0; round < 6; round += 1) {
    const { stderr } = await pak.run(['cp', 'big', 'web:/mem/f'])
    assert.match(stderr, /only while it runs/, stderr)
  }
  await pak.ok(['start'])
  assert.is(await cat(`/etc/${name}`), 'one\n')
})

test.run()
