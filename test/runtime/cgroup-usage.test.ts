import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { bounded, field, pressure } from '../../src/runtime/cgroup-text.ts'
import { type ReadFile, unifiedUsage, v1Usage } from '../../src/runtime/cgroup-usage.ts'

const from =
  (files: Readonly<Record<string, string>>): ReadFile =>
  (controller, file) =>
    files[`${controller}/${file}`] ?? ''

const UNIFIED = {
  'cpu/cpu.stat':
    'usage_usec 2500000\nuser_usec 1\nsystem_usec 2\nnr_periods 40\nnr_throttled 30\nthrottled_usec 900000\n',
  'cpu/cpu.pressure':
    'some avg10=73.25 avg60=1.00 avg300=0.00 total=9\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n',
  'memory/cgroup.events': 'populated 1\nfrozen 1\n',
  'memory/memory.current': '10000000\n',
  'memory/memory.stat':
    'anon 4000000\nfile 5000000\nkernel 600000\nkernel_stack 16384\ninactive_anon 7\ninactive_file 3000000\n',
  'memory/memory.peak': '12000000\n',
  'memory/memory.max': '67108864\n',
  'memory/memory.swap.current': '4096\n',
  'memory/memory.events': 'low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\noom_group_kill 1\n',
  'pids/pids.current': '3\n',
  'pids/pids.max': 'max\n',
  'io/io.stat': '8:0 rbytes=100 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=11 wbytes=0\n',
}

test('v2: what is charged, what of it is in use, and what it is', () => {
  const usage = unifiedUsage(from(UNIFIED))
  assert.equal(usage, {
    cpuUsageUsec: 2_500_000,
    periods: 40,
    throttledPeriods: 30,
    throttledUsec: 900_000,
    memoryBytes: 10_000_000,
    workingSetBytes: 7_000_000,
    memoryPeakBytes: 12_000_000,
    memoryLimitBytes: 67_108_864,
    anonBytes: 4_000_000,
    fileBytes: 5_000_000,
    kernelBytes: 600_000,
    swapBytes: 4096,
    oomKills: 2,
    pids: 3,
    pidsLimit: null,
    blockReadBytes: 111,
    blockWriteBytes: 20,
    pressure: { cpu: 73.25, memory: null, io: null },
    frozen: true,
  })
})

test('v2 on older kernels: no peak, and kernel memory in parts', () => {
  const usage = unifiedUsage(
    from({
      'memory/memory.current': '1000\n',
      'memory/memory.stat': 'anon 10\nkernel_stack 3\npagetables 4\nslab 5\n',
    }),
  )
  assert.is(usage.memoryPeakBytes, 1000)
  assert.is(usage.kernelBytes, 12)
})

test('v1: nanoseconds become microseconds, and no limit is none', () => {
  const usage = v1Usage(
    from({
      'cpuacct/cpuacct.usage': '2500000999\n',
      'cpu/cpu.stat': 'nr_periods 40\nnr_throttled 30\nthrottled_time 900000000\n',
      'memory/memory.usage_in_bytes': '10000000\n',
      'memory/memory.stat':
        'cache 1\nrss 2\ninactive_file 9999999\nhierarchical_memory_limit 9\ntotal_cache 5000000\ntotal_rss 4000000\ntotal_swap 8192\ntotal_inactive_file 3000000\n',
      'memory/memory.max_usage_in_bytes': '12000000\n',
      'memory/memory.limit_in_bytes': '9223372036854771712\n',
      'memory/memory.kmem.usage_in_bytes': '600000\n',
      'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
      'pids/pids.current': '3\n',
      'pids/pids.max': '20\n',
      'blkio/blkio.throttle.io_service_bytes_recursive':
        '8:0 Read 100\n8:0 Write 20\n8:0 Total 120\n8:16 Read 11\nTotal 131\n',
    }),
  )
  assert.equal(usage, {
    cpuUsageUsec: 2_500_001,
    periods: 40,
    throttledPeriods: 30,
    throttledUsec: 900_000,
    memoryBytes: 10_000_000,
    workingSetBytes: 7_000_000,
    memoryPeakBytes: 12_000_000,
    memoryLimitBytes: null,
    anonBytes: 4_000_000,
    fileBytes: 5_000_000,
    kernelBytes: 600_000,
    swapBytes: 8192,
    oomKills: 2,
    pids: 3,
    pidsLimit: 20,
    blockReadBytes: 111,
    blockWriteBytes: 20,
    pressure: { cpu: null, memory: null, io: null },
    frozen: false,
  })
})

test('the working set is never 0 while anything is charged, however late the statistics are', () => {
  const of = (stat: string) =>
    unifiedUsage(from({ 'memory/memory.current': '8192\n', 'memory/memory.stat': stat }))
      .workingSetBytes
  assert.is(of('anon 4096\ninactive_file 999999\n'), 4096)
  assert.is(of('anon 0\ninactive_file 8192\n'), 8192)
  assert.is(of(''), 8192)
})

test('words of the kernel that are not there, or are no numbers', () => {
  assert.is(field('oom_kill_disable 1\noom_kill 7', 'oom_kill'), 7)
  assert.is(field('xoom_kill 7\n', 'oom_kill'), 0)
  assert.is(field('oom_kill x\n', 'oom_kill'), 0)
  assert.is(field('', 'oom_kill'), 0)
  assert.is(bounded('max\n'), null)
  assert.is(bounded(''), null)
  assert.is(bounded('0\n'), 0)
  assert.is(pressure('some avg10=nan'), null)
})

test.run()
