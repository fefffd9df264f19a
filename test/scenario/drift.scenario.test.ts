// alone: holds pak to its three seconds
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testUnless } from '../support/skip.ts'
import { memoryFile, number, settled, told, within3s } from './damage.ts'
import { cgroupOf } from './lab.ts'
import { lacking, pids, SLEEPS, stage } from './stage.ts'

const MEBI = 1024 * 1024

const MANIFEST = (project: string) => `name: ${project}
containers:
  a:
    ${SLEEPS}
    networks: [front]
    limits: { memory: 64M, cpu: 50% }
  b:
    ${SLEEPS}
    networks: [front]
networks:
  front:
`

testUnless(test, lacking, 'a limit written from outside is written back, and told', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', MANIFEST('paktdl'))
  await pak.ok(['up', '-d'])
  const before = await pids(pak)
  const file = memoryFile(before['paktdl-a-1'] ?? 0)
  await settled(pak)
  writeFileSync(file, String(128 * MEBI))
  await within3s('the limit is back', () => number(file) === 64 * MEBI)
  await told(pak, /container\.repaired service\/a\/1 .*was 134217728, should be 67108864/)
  assert.equal(await pids(pak), before)
})

testUnless(test, lacking, 'a process moved elsewhere is put back', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', MANIFEST('paktdp'))
  await pak.ok(['up', '-d'])
  const before = await pids(pak)
  const pid = before['paktdp-b-1'] ?? 0
  const folder = cgroupOf(pid, 'memory')
  await settled(pak)
  writeFileSync(join(cgroupOf(before['paktdp-a-1'] ?? 0, 'memory'), 'cgroup.procs'), String(pid))
  assert.is.not(cgroupOf(pid, 'memory'), folder)
  await within3s('it is where it was', () => cgroupOf(pid, 'memory') === folder)
  await told(pak, /container\.repaired service\/b\/1 .*was in cgroup/)
  assert.equal(await pids(pak), before)
})

test.run()
