import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostEnd } from '../../src/executor/linux/host-ends.ts'
import { layoutOf } from '../../src/executor/linux/layout.ts'
import type { ContainerRecord } from '../../src/executor/linux/records.ts'
import { Soundness } from '../../src/executor/linux/soundness.ts'
import type { ContainerSpec } from '../../src/model/desired.ts'
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
    ['/proc/42/mountstats', 'device tmpfs mounted on /tmp with fstype tmpfs'],
    ['/proc/42/net/route', 'eth0 00000000'],
    [`/sys/class/net/${end}/flags`, '0x1003'],
  ])
  const ports = new Map([['back', new Set([end])]])
  const soundness = new Soundness()
  const readNow = (path: string) => {
    asked.add(path)
    return files.get(path) ?? null
  }
  const saysStill = (path: string, before: Uint8Array | null) => {
    asked.add(path)
    return Buffer.compare(Buffer.from(files.get(path) ?? '?'), before ?? Buffer.from('?')) === 0
  }
  const kernel = { readNow, saysStill }
  const evidence = () => soundness.evidence({ layout, kernel }, { record, run: RUN }, ports)
  return {
    files,
    ports,
    end,
    asked,
    soundness,
    change: (over: Partial<ContainerRecord>) => {
      record = recordOf(spec, over)
    },
    evidence,
    remember: () => {
      const found = evidence()
      if (found !== null) soundness.remember(found)
    },
    isKnown: () => soundness.isKnown({ layout, kernel }, record, ports),
  }
}

test('what says the same as when it was sound need not be looked at', () => {
  const host = machine()
  assert.is(host.isKnown(), false)
  host.remember()
  assert.is(host.isKnown(), true)
})

test('whatever says something else is looked at, until it says the same again', () => {
  const host = machine()
  host.remember()
  for (const path of [...host.files.keys()]) {
    const before = host.files.get(path) ?? ''
    host.files.set(path, `${before} and more`)
    assert.is(host.isKnown(), false, path)
    host.files.delete(path)
    assert.is(host.isKnown(), false, path)
    host.files.set(path, before)
    assert.is(host.isKnown(), true, path)
  }
})

test('an interface that hangs on another bridge is looked at', () => {
  const host = machine()
  host.remember()
  host.ports.get('back')?.delete(host.end)
  assert.is(host.isKnown(), false)
})

test('another record is another container, though its files say the same', () => {
  const host = machine()
  host.remember()
  host.change({})
  assert.is(host.isKnown(), false)
})

test('one that is paused, or on a network without a bridge of pak, is always looked at', () => {
  const host = machine()
  host.change({ paused: true })
  assert.is(host.evidence(), null)
  host.change({})
  host.ports.delete('back')
  assert.is(host.evidence(), null)
})

test('who may mount, and administer its network, is not asked about these', () => {
  const host = machine({ ...WIRED, capAdd: ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN'] })
  host.remember()
  assert.equal([...host.asked], ['/proc/42/cgroup', `/sys/class/net/${host.end}/flags`])
})

test('what is gone is forgotten', () => {
  const host = machine()
  host.remember()
  host.soundness.keep(new Set())
  assert.is(host.isKnown(), false)
})

test.run()
