import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encode } from '../../src/security/seccomp/bpf.ts'
import { ociProfile } from '../../src/security/seccomp/docker.ts'
import { compile, defaultFilter } from '../../src/security/seccomp/filter.ts'
import { defaultOciSeccomp } from '../../src/security/seccomp/oci.ts'
import { defaultProfile } from '../../src/security/seccomp/profile.ts'
import { callTables } from '../../src/security/seccomp/tables.ts'
import { runFilter, seccompData } from './bpf.ts'

const ALLOW = 0x7fff0000
const EPERM = 0x50001
const ENOSYS = 0x50026
const X64 = 0xc000003e
const I386 = 0x40000003

const profile = defaultProfile([])
const program = compile(profile, callTables('x64'))
const numberOf = (name: string, table = 0): number => {
  const number = callTables('x64')[table]?.numbers.get(name)
  if (number === undefined) throw new Error(`no call ${name}`)
  return number
}
const verdict = (name: string, ...args: readonly bigint[]) =>
  runFilter(program, seccompData({ arch: X64, number: numberOf(name), args }))

test('every call of every table gets the verdict of the profile', () => {
  for (const architecture of ['x64', 'arm64']) {
    const tables = callTables(architecture)
    const filter = compile(profile, tables)
    for (const { auditArch, numbers } of tables)
      for (const [name, number] of numbers) {
        if (Object.hasOwn(profile.conditional, name)) continue
        const expected = profile.absent.includes(name)
          ? ENOSYS
          : profile.allowed.includes(name)
            ? ALLOW
            : EPERM
        const got = runFilter(filter, seccompData({ arch: auditArch, number }))
        assert.is(got, expected, `${architecture} ${name}`)
      }
  }
})

test('refuses what leads out of a container', () => {
  for (const name of [
    'mount',
    'umount2',
    'pivot_root',
    'unshare',
    'setns',
    'bpf',
    'keyctl',
    'add_key',
    'request_key',
    'perf_event_open',
    'init_module',
    'kexec_load',
    'open_by_handle_at',
    'io_uring_setup',
    'userfaultfd',
    'reboot',
    'swapon',
    'ioperm',
    'quotactl',
    'fsopen',
    'move_mount',
    'open_tree',
  ])
    assert.is(verdict(name), EPERM, name)
})

test('lets a thread begin, but no namespace', () => {
  assert.is(verdict('clone', 0x3d0f00n), ALLOW)
  for (const flag of [
    0x20000n,
    0x2000000n,
    0x4000000n,
    0x8000000n,
    0x10000000n,
    0x20000000n,
    0x40000000n,
  ])
    assert.is(verdict('clone', flag | 17n), EPERM, flag.toString(16))
  assert.is(verdict('clone3'), ENOSYS)
})

test('is not talked round by the upper half of an argument, which the kernel drops', () => {
  assert.is(verdict('socket', 40n), EPERM)
  assert.is(verdict('socket', 0x1_0000_0028n), EPERM)
  assert.is(verdict('socket', 38n), EPERM)
  assert.is(verdict('socket', 2n), ALLOW)
  assert.is(verdict('clone', 0x1_1000_0000n), EPERM)
  assert.is(verdict('personality', 0x40000n), EPERM)
  assert.is(verdict('personality', 0xffffffffn), ALLOW)
})

test('answers conventions it has no table for, x32 among them, and calls of the future with ENOSYS', () => {
  const run = (arch: number, number: number) => runFilter(program, seccompData({ arch, number }))
  assert.is(run(X64, 0x40000000 + numberOf('read')), ENOSYS)
  assert.is(run(0xc00000b7, 63), ENOSYS)
  assert.is(run(X64, 9999), ENOSYS)
  assert.is(run(I386, numberOf('mount', 1)), EPERM)
  assert.is(run(I386, numberOf('read', 1)), ALLOW)
})

test('gives a capability the calls without which it is nothing', () => {
  const wider = compile(defaultProfile(['CAP_SYS_ADMIN']), callTables('x64'))
  const run = (name: string) => runFilter(wider, seccompData({ arch: X64, number: numberOf(name) }))
  assert.is(run('mount'), ALLOW)
  assert.is(run('clone3'), ALLOW)
  assert.is(run('keyctl'), EPERM)
})

test('stays within what the kernel takes, and is compiled once', () => {
  assert.ok(program.length < 4096)
  assert.is(encode(program).length, program.length * 8)
  assert.is(defaultFilter('x64', ['CAP_KILL']), defaultFilter('x64', ['CAP_KILL']))
})

test('as JSON, allows the same calls', () => {
  const json = defaultOciSeccomp('x64', [], { nativeOnly: true })
  assert.equal(json.architectures, ['SCMP_ARCH_X86_64'])
  const names = new Set(json.syscalls.flatMap((rule) => rule.names))
  assert.ok(names.has('read') && names.has('clone') && !names.has('mount'))
  const families = json.syscalls.filter((rule) => rule.names[0] === 'socket')
  assert.not(families.some((rule) => rule.args?.[0]?.valueTwo === 40))
})

test('settles a profile in Docker’s form for a machine and its capabilities', () => {
  const text = JSON.stringify({
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['arm_sync'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
    ],
  })
  const settled = ociProfile(text, { architecture: 'x64', capabilities: [] })
  assert.equal(settled.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'])
  assert.equal(
    settled.syscalls.flatMap((rule) => rule.names),
    ['read'],
  )
})

test('says what is wrong with a profile', () => {
  const read = (text: string) => () => ociProfile(text, { architecture: 'x64', capabilities: [] })
  assert.throws(read('{'), /no JSON/)
  assert.throws(read('[]'), /no object/)
  assert.throws(read('{"defaultAction":"DO_IT"}'), /defaultAction has the unknown value "DO_IT"/)
})

test.run()
