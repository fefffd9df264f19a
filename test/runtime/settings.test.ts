import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Limits, NO_LIMITS } from '../../src/model/limits.ts'
import {
  type Setting,
  type SettingFacts,
  unifiedSettings,
  v1Settings,
} from '../../src/runtime/cgroup-settings.ts'
import { beyond, cpuList, cpusOf } from '../../src/runtime/cpu-list.ts'

const FACTS: SettingFacts = {
  anyCpus: '0-1',
  swapAccounting: true,
  disks: new Map([
    ['/var', '8:0'],
    ['/srv', '8:0'],
    ['/dev/sdb', '8:16'],
  ]),
  limitedDisks: ['7:0'],
  pageSizes: ['1GB', '2MB'],
  swappiness: 60,
}
const IO = { readBps: null, writeBps: null, readIops: null, writeIops: null }
const LIMITS: Limits = {
  ...NO_LIMITS,
  cpuMillis: 500,
  cpuBurstMillis: 100,
  memoryBytes: 64,
  memoryHighBytes: 48,
  memoryReservationBytes: 32,
  swapBytes: 16,
  swappiness: 10,
  ioWeight: 1200,
  hugepages: { '2MB': 2 ** 22 },
  oom: 'process',
  io: [
    { ...IO, kind: 'device', path: '/dev/sdb', writeIops: 9 },
    { ...IO, kind: 'path', path: '/srv', readBps: 1000 },
    { ...IO, kind: 'path', path: '/var', readBps: 2000, writeBps: 5 },
  ],
}

const valuesOf = (settings: readonly Setting[], file: string) =>
  settings.filter((setting) => setting.file === file).map(({ value }) => value)

test('says limits in the files of cgroup v2', () => {
  const of = (file: string) => valuesOf(unifiedSettings(LIMITS, FACTS), file)
  assert.equal(of('cpu.max'), ['50000 100000'])
  assert.equal(of('cpu.max.burst'), ['10000'])
  assert.equal(of('memory.high'), ['48'])
  assert.equal(of('memory.low'), ['32'])
  assert.equal(of('memory.swap.max'), ['16'])
  assert.equal(of('memory.oom.group'), ['0'])
  assert.equal(of('io.weight'), ['1200'])
  assert.equal(of('io.bfq.weight'), ['200'])
  assert.equal(of('hugetlb.2MB.max'), ['4194304'])
  assert.equal(of('hugetlb.1GB.max'), ['max'])
  assert.equal(of('io.max'), [
    '7:0 rbps=max wbps=max riops=max wiops=max',
    '8:0 rbps=1000 wbps=5 riops=max wiops=max',
    '8:16 rbps=max wbps=max riops=max wiops=9',
  ])
})

test('says limits in the files of cgroup v1', () => {
  const of = (file: string) => valuesOf(v1Settings(LIMITS, FACTS), file)
  assert.equal(of('cpu.cfs_burst_us'), ['10000'])
  assert.equal(of('memory.soft_limit_in_bytes'), ['32'])
  assert.equal(of('memory.memsw.limit_in_bytes'), ['80'])
  assert.equal(of('memory.swappiness'), ['10'])
  assert.equal(of('blkio.bfq.weight'), ['200'])
  assert.equal(of('hugetlb.1GB.limit_in_bytes'), ['-1'])
  assert.equal(of('blkio.throttle.read_bps_device'), ['7:0 0', '8:0 1000', '8:16 0'])
  assert.equal(of('blkio.throttle.write_iops_device'), ['7:0 0', '8:0 0', '8:16 9'])
})

test('without limits nothing is asked of what a kernel may not have', () => {
  const bare = { ...FACTS, limitedDisks: [], pageSizes: [] }
  for (const settings of [unifiedSettings(NO_LIMITS, bare), v1Settings(NO_LIMITS, bare)]) {
    const needed = settings.filter(({ unset }) => unset !== true).map(({ key }) => key)
    assert.equal([...new Set(needed)].sort(), [
      'cpuMillis',
      'cpuWeight',
      'cpuset',
      'memoryBytes',
      'pids',
      'swapBytes',
    ])
  }
  // A project has no say in who is killed.
  assert.equal(valuesOf(unifiedSettings(NO_LIMITS, bare), 'memory.oom.group'), [])
  assert.equal(valuesOf(unifiedSettings(NO_LIMITS, bare), 'memory.low'), [])
  const container: Limits = { ...NO_LIMITS, oom: 'container' }
  assert.equal(valuesOf(unifiedSettings(container, bare), 'memory.low'), ['0'])
})

test('knows which CPUs of a list are not in another', () => {
  assert.is(beyond('0-3,7', '0-1'), '2,3,7')
  assert.is(beyond('1', '0-1'), '')
  assert.is(cpuList([3, ...cpusOf('0-1,x')]), '0,1,3')
})

test.run()
