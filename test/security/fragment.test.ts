import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { capabilitiesOfMask, containerCapabilities } from '../../src/security/capabilities.ts'
import { joinFragment } from '../../src/security/fragment.ts'
import { clampRlimits, parseLimits } from '../../src/security/rlimits.ts'
import { PLAIN } from '../support/spec.ts'

const ALL = capabilitiesOfMask('1ffffffffff')
const request = { add: [], drop: [], privileged: false, available: ALL }

test('the default set has what Docker’s has, but no mknod', () => {
  const { capabilities } = containerCapabilities(request)
  assert.is(capabilities.length, 13)
  assert.ok(capabilities.includes('CAP_NET_RAW'))
  assert.not(capabilities.includes('CAP_MKNOD'))
})

test('adds and drops, with and without ALL, with and without the prefix', () => {
  const of = (own: object) => containerCapabilities({ ...request, ...own }).capabilities
  assert.equal(of({ drop: ['ALL'], add: ['NET_ADMIN'] }), ['CAP_NET_ADMIN'])
  assert.is(of({ add: ['ALL'], drop: ['cap_sys_admin'] }).length, ALL.length - 1)
  assert.not(of({ drop: ['kill'] }).includes('CAP_KILL'))
  assert.equal(of({ privileged: true }), [...ALL].sort())
  assert.throws(() => of({ add: ['FLY'] }), /FLY/)
})

test('leaves out what the host cannot give, and names it', () => {
  const { capabilities, missing } = containerCapabilities({
    ...request,
    add: ['SYS_RESOURCE'],
    available: ALL.filter((name) => name !== 'CAP_SYS_RESOURCE'),
  })
  assert.not(capabilities.includes('CAP_SYS_RESOURCE'))
  assert.equal(missing, ['CAP_SYS_RESOURCE'])
})

const HOST = {
  architecture: 'x64',
  limits: {},
  nrOpen: 1_048_576,
  seccomp: true,
  takesBpf: true,
  apparmor: true,
}

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 20000                files
Max locked memory         unlimited            unlimited            bytes
`

test('reads /proc/PID/limits', () => {
  assert.equal(parseLimits(LIMITS), {
    nofile: { soft: 1024, hard: 20000 },
    memlock: { soft: Infinity, hard: Infinity },
  })
})

test('lowers rlimits to what may be set, and says so', () => {
  const host = { limits: parseLimits(LIMITS), mayRaise: false, nrOpen: 1_048_576 }
  const { rlimits, notes } = clampRlimits([{ name: 'nofile', soft: 4096, hard: 65536 }], host)
  assert.equal(rlimits, [{ type: 'RLIMIT_NOFILE', soft: 4096, hard: 20000 }])
  assert.equal(notes.length, 1)
  const unlimited = clampRlimits([{ name: 'memlock', soft: -1, hard: -1 }], host)
  assert.ok(BigInt(JSON.stringify(unlimited.rlimits[0]?.hard)) < 2n ** 64n)
  const free = clampRlimits([{ name: 'nofile', soft: -1, hard: -1 }], { ...host, mayRaise: true })
  assert.equal(free.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1_048_576, hard: 1_048_576 }])
})

test('an OOM score is as low as the host lets it be, and never pak’s own by accident', () => {
  const score = (wanted: number, own: number, capabilities: readonly string[]) => {
    const host = { ...HOST, capabilities, oomScoreAdj: own }
    const { oomScoreAdj, notes } = joinFragment({ ...PLAIN, oomScoreAdj: wanted }, host, [])
    return [oomScoreAdj, notes.filter((note) => note.includes('oom_score_adj'))]
  }
  const weak = ALL.filter((name) => name !== 'CAP_SYS_RESOURCE')
  assert.equal(score(-500, 0, ALL), [-500, []])
  assert.equal(score(500, 0, weak), [500, []])
  const note = 'oom_score_adj -500 raised to 0, less may not be set on this host'
  assert.equal(score(-500, 0, weak), [null, [note]])
  // As systemd starts the agent: the kernel must not spare containers as it spares pak.
  assert.equal(score(0, -500, weak), [0, []])
  assert.equal(score(0, 0, weak), [null, []])
  assert.equal(score(0, 200, weak), [null, []])
})

test.run()
