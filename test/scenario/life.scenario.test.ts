// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
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

test.run()
