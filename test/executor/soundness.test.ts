import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostEnd } from '../../src/executor/linux/host-ends.ts'
import { layoutOf } from '../../src/executor/linux/layout.ts'
import type { ContainerRecord, NetworkRecord } from '../../src/executor/linux/records.ts'
import { containerSubject, networksSubject, Soundness } from '../../src/executor/linux/soundness.ts'
import type { ContainerSpec } from '../../src/model/desired.ts'
import type { Drift } from '../../src/model/observed.ts'
import { bridgeFiles } from '../../src/network/view.ts'
import { PLAIN } from '../support/spec.ts'

const RUN = { pid: 42, startTicks: '7', startedAt: '2026-01-01T00:00:00Z' }
const WIRED: ContainerSpec = {
  ...PLAIN,
  networkMode: { kind: 'bridge' },
  networks: [{ network: 'back', aliases: [], ipv4: null }],
}

const recordOf = (spec: ContainerSpec, over: Partial<ContainerRecord> = {}): ContainerRecord => ({
  name: 'shop-web-1',
  id: 'a'.repeat(64),
  service: 'web',
  replica: 1,
  spec,
  dependsOn: [],
  imageDigest: null,
  createdAt: RUN.startedAt,
  restartCount: 0,
  addresses: { back: '172.16.0.2' },
  run: RUN,
  exit: null,
  ...over,
})

/** A machine of a few files, and a look at one container on it. */
function machine(spec: ContainerSpec = WIRED) {
  const asked = new Set<string>()
  const layout = layoutOf({ root: '/state', runRoot: '/run/state' })
  let record = recordOf(spec)
  const end = hostEnd({ layout }, record, { network: 'back', pid: RUN.pid })
  const files = new Map<string, string>([
    ['/proc/42/cgroup', '0::/pak/shop/shop-web-1'],
    ['/proc/41/cmdline', `conmon\0--cid\0${record.id}\0`],
    ['/proc/42/mountstats', 'device tmpfs mounted on /tmp with fstype tmpfs'],
    ['/proc/42/net/route', 'eth0 00000000'],
    [`/sys/class/net/${end}/flags`, '0x1003'],
    [`/sys/class/net/${end}/netdev_group`, '167837698'],
  ])
  const ports = new Map([['back', new Set([end])]])
  const soundness = new Soundness()
  const open = new Set<string>()
  const kernel = {
    readNow: (path: string) => (path.endsWith('/conmon.pid') ? '41' : (files.get(path) ?? null)),
    keepFile(path: string) {
      asked.add(path)
      open.add(path)
      const text = files.get(path)
      return {
        saysStill: () => files.get(path) === text,
        close: () => void open.delete(path),
      }
    },
  }
  const found: Drift[] = []
  return {
    files,
    ports,
    end,
    asked,
    open,
    soundness,
    found,
    change: (over: Partial<ContainerRecord>) => {
      record = recordOf(spec, over)
    },
    /** Whether a check looks in full. */
    looks() {
      let times = 0
      const subject = containerSubject({ layout, kernel }, { record, run: RUN })
      const drift = soundness.check({ kernel }, subject, ports, () => {
        times += 1
        return found
      })
      assert.equal(drift, times === 0 ? [] : found)
      return times > 0
    },
  }
}

test('what says the same as when it was sound need not be looked at', () => {
  const host = machine()
  assert.is(host.looks(), true)
  assert.is(host.looks(), false)
})

test('what was not sound is looked at each time, and nothing of it is kept open', () => {
  const host = machine()
  host.found.push({ of: 'mounts', fact: '/tmp was not mounted' })
  for (const _ of [1, 2]) assert.is(host.looks(), true)
  assert.is(host.open.size, 0)
})

test('whatever says something else, or is gone, is looked at', () => {
  const host = machine()
  host.looks()
  for (const path of [...host.files.keys()]) {
    host.files.set(path, `${host.files.get(path)} and more`)
    assert.is(host.looks(), true, path)
    assert.is(host.looks(), false, path)
    host.files.delete(path)
    assert.is(host.looks(), true, path)
  }
})

test('an interface that hangs on another bridge is looked at', () => {
  const host = machine()
  host.looks()
  host.ports.get('back')?.delete(host.end)
  assert.is(host.looks(), true)
})

test('another record is another container, though its files say the same', () => {
  const host = machine()
  host.looks()
  host.change({})
  assert.is(host.looks(), true)
})

test('one that is paused, or on a network without a bridge of pak, is always looked at', () => {
  const host = machine()
  host.change({ paused: true })
  for (const _ of [1, 2]) assert.is(host.looks(), true)
  host.change({})
  host.ports.delete('back')
  for (const _ of [1, 2]) assert.is(host.looks(), true)
})

test('who may mount, and administer its network, is not asked about these', () => {
  const host = machine({ ...WIRED, capAdd: ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN'] })
  host.looks()
  assert.equal(
    [...host.asked],
    [
      '/proc/42/cgroup',
      '/proc/41/cmdline',
      `/sys/class/net/${host.end}/flags`,
      `/sys/class/net/${host.end}/netdev_group`,
    ],
  )
})

test('what is gone is forgotten, and its files are closed', () => {
  const host = machine()
  host.looks()
  assert.is(host.open.size, host.files.size)
  host.soundness.keep(new Set())
  assert.is(host.open.size, 0)
  assert.is(host.looks(), true)
})

test('networks are looked at when a file of theirs, or one of them, is another', () => {
  const spec = { name: 'back', driver: 'bridge' } as NetworkRecord['spec']
  const back = { spec, bridge: 'pk0' } as NetworkRecord
  const files = new Map(bridgeFiles([back]).map((path) => [path, '1']))
  const kernel = {
    keepFile(path: string) {
      const text = files.get(path)
      return { saysStill: () => files.get(path) === text, close: () => {} }
    },
  }
  const soundness = new Soundness()
  const looks = (...records: readonly NetworkRecord[]) => {
    let times = 0
    soundness.check({ kernel }, networksSubject('shop', records), new Map(), () => {
      times += 1
      return []
    })
    return times > 0
  }
  assert.ok(files.has('/proc/sys/net/ipv4/ip_forward'))
  assert.equal([looks(back), looks(back)], [true, false])
  for (const path of [...files.keys()]) {
    files.set(path, '0')
    assert.equal([looks(back), looks(back)], [true, false], path)
    files.set(path, '1')
    assert.equal([looks(back), looks(back)], [true, false], path)
  }
  assert.equal([looks(back, { ...back }), looks(back), looks({ ...back })], [true, true, true])
  const spanning = { ...back, spec: { ...spec, driver: 'vxlan' } } as NetworkRecord
  assert.equal([looks(spanning), looks(spanning)], [true, true])
})

test.run()
