import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ContainerSpec } from '../../src/model/desired.ts'
import type { ImageConfig } from '../../src/model/image.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import { execExitCode, execProcess } from '../../src/runtime/exec.ts'
import { commandFailure } from '../../src/runtime/failure.ts'
import { ociResources } from '../../src/runtime/resources.ts'
import { signalNumber } from '../../src/runtime/signals.ts'
import { ociSpec, type SpecInput } from '../../src/runtime/spec.ts'
import { capabilitiesOfMask } from '../../src/security/capabilities.ts'
import { joinFragment } from '../../src/security/fragment.ts'
import { PLAIN } from '../support/spec.ts'

const HOST = {
  architecture: 'x64',
  capabilities: capabilitiesOfMask('1ffffffffff'),
  limits: {},
  oomScoreAdj: 0,
  nrOpen: 1_048_576,
  seccomp: true,
  takesBpf: true,
  apparmor: true,
}

const IMAGE: ImageConfig = {
  entrypoint: ['/entry'],
  command: ['serve'],
  environment: { FROM: 'image', BOTH: 'image' },
  workingDir: '/srv',
  user: null,
  stopSignal: null,
  exposedPorts: [],
  volumes: [],
  labels: {},
}

function input(own: Partial<ContainerSpec> = {}, rest: Partial<SpecInput> = {}): SpecInput {
  const spec = { ...PLAIN, ...own }
  return {
    spec,
    image: null,
    id: 'f'.repeat(64),
    name: 'shop-web-1',
    cgroupsPath: '/pak/shop/shop-web-1',
    cgroups: { version: 2, swapAccounting: true },
    rootfs: '/run/pak/containers/x/rootfs',
    user: { uid: 0, gid: 0, additionalGids: [0], home: '/root' },
    mounts: [],
    namespaces: { network: null, pid: null, ipc: null },
    security: joinFragment(spec, HOST, []),
    ...rest,
  }
}

const namespaces = (own: Partial<ContainerSpec>, rest: Partial<SpecInput> = {}) =>
  ociSpec(input(own, rest)).linux.namespaces.map(({ type, path }) =>
    path ? `${type}=${path}` : type,
  )

test('joins image and manifest: the manifest wins, an entrypoint drops the image’s command', () => {
  const withImage = (own: Partial<ContainerSpec>) =>
    ociSpec(input({ command: null, ...own }, { image: IMAGE })).process
  assert.equal(withImage({}).args, ['/entry', 'serve'])
  assert.equal(withImage({ command: ['x'] }).args, ['/entry', 'x'])
  assert.equal(withImage({ entrypoint: ['/mine'] }).args, ['/mine'])
  assert.is(withImage({}).cwd, '/srv')
  const { env } = withImage({ environment: { BOTH: 'mine' } })
  assert.ok(env.includes('FROM=image') && env.includes('BOTH=mine') && env.includes('HOME=/root'))
  assert.throws(() => ociSpec(input({ command: null })), /says what to run/)
})

test('gives a container namespaces of its own, or those that it shares', () => {
  assert.equal(namespaces({}), ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup'])
  assert.equal(
    namespaces({ networkMode: { kind: 'host' }, pidMode: { kind: 'host' }, utsMode: 'host' }),
    ['mount', 'ipc', 'cgroup'],
  )
  const shared = { networkMode: { kind: 'service', service: 'db' } } as const
  const joined = { network: '/proc/7/ns/net', pid: null, ipc: null }
  assert.ok(namespaces(shared, { namespaces: joined }).includes('network=/proc/7/ns/net'))
  assert.throws(() => namespaces(shared), /does not run/)
})

test('a mount of the user’s takes the place of a default one', () => {
  const own = { destination: '/dev/shm', type: 'tmpfs', source: 'tmpfs', options: ['size=1m'] }
  const { mounts } = ociSpec(input({}, { mounts: [own] }))
  assert.equal(
    mounts.filter(({ destination }) => destination === '/dev/shm'),
    [own],
  )
})

test('hands the filter to the runtime, or nothing to a privileged container', () => {
  assert.ok(ociSpec(input()).annotations['run.oci.seccomp_bpf_data'])
  const open = ociSpec(input({ privileged: true }))
  assert.is(open.annotations['run.oci.seccomp_bpf_data'], undefined)
  assert.equal(open.linux.maskedPaths, [])
  assert.equal(open.linux.resources.devices, [{ allow: true, access: 'rwm' }])
})

test('an init goes before the command, and has to be there', () => {
  const spec = ociSpec(input({ init: true }, { init: '/usr/bin/catatonit' }))
  assert.equal(spec.process.args.slice(0, 3), ['/dev/init', '--', 'sleep'])
  assert.ok(spec.mounts.some(({ destination }) => destination === '/dev/init'))
  assert.throws(() => ociSpec(input({ init: true })), /no init is installed/)
})

test('says limits in the words of each kernel interface', () => {
  const limits = { ...NO_LIMITS, cpuMillis: 250, cpuWeight: 200, memoryBytes: 1000, swapBytes: 24 }
  const v2 = ociResources(limits, { version: 2, swapAccounting: true })
  assert.equal(v2.cpu, { quota: 25_000, period: 100_000 })
  assert.equal(v2.memory, { limit: 1000, swap: 1024 })
  assert.equal(v2.unified, { 'memory.oom.group': '1', 'cpu.weight': '200' })
  const v1 = ociResources(limits, { version: 1, swapAccounting: false })
  assert.equal(v1.cpu, { quota: 25_000, period: 100_000, shares: 2048 })
  assert.equal(v1.memory, { limit: 1000 })
  assert.is(v1.unified, undefined)
})

test('an exec is confined like its container, with what it asks for on top', () => {
  const process = execProcess(input({ environment: { A: '1' } }), {
    command: ['id'],
    environment: { A: '2' },
    workingDir: '/tmp',
    tty: true,
  })
  assert.ok(process.env.includes('A=2') && process.env.includes('TERM=xterm'))
  assert.is(process.cwd, '/tmp')
  assert.is(process.terminal, true)
})

test('tells the runtime’s failures apart, in crun’s words and in runc’s', () => {
  const code = (text: string) => commandFailure(text, 'create `x`').code
  assert.is(
    code('executable file `nope` not found in $PATH: No such file or directory'),
    'command_not_found',
  )
  assert.is(code('open executable: Permission denied'), 'command_not_executable')
  assert.is(
    code(
      'time="x" level=error msg="exec failed: exec: \\"nope\\": executable file not found in $PATH"',
    ),
    'command_not_found',
  )
  assert.is(code('mount `proc` to `/proc`: Permission denied'), 'runtime')
  assert.match(commandFailure('executable file `nope` not found', 'x').message, /`nope`/)
})

test('an exit status is the command’s own unless the runtime logged an error', () => {
  const log = (msg: string) => JSON.stringify({ msg, level: 'error', time: '' })
  assert.is(execExitCode({ exitCode: 3, signal: null, log: null }), 3)
  assert.is(
    execExitCode({ exitCode: 255, signal: null, log: log('executable file `x` not found') }),
    127,
  )
  assert.is(
    execExitCode({ exitCode: 255, signal: null, log: log('open executable: Permission denied') }),
    126,
  )
  assert.is(execExitCode({ exitCode: 1, signal: null, log: log('container is not running') }), 125)
  assert.is(execExitCode({ exitCode: null, signal: 9, log: '' }), 137)
})

test('knows signals by name and number', () => {
  assert.is(signalNumber('SIGTERM'), 15)
  assert.is(signalNumber('usr1'), 10)
  assert.is(signalNumber('SIGRTMIN+3'), 37)
  assert.is(signalNumber('9'), 9)
  assert.throws(() => signalNumber('SIGNOPE'), /SIGNOPE/)
})

test.run()
