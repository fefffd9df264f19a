import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostLacks, testUnless } from '../support/skip.ts'
import { inside, labWith, lacksContainers, pidOf, tell } from './lab.ts'

/** Each must fail inside; what it would have done is never worse than reading. */
const REFUSED: Readonly<Record<string, string>> = {
  mount: 'mount -t tmpfs none /tmp',
  'bind mount': 'mount -o bind /etc /tmp',
  mknod: 'mknod /tmp/disk b 8 0 && cat /tmp/disk',
  'sysrq-trigger': 'echo h > /proc/sysrq-trigger',
  'a user namespace': 'unshare -U true',
  'a mount namespace': 'unshare -m true',
  '/sys': 'echo 1 > /sys/kernel/mm/ksm/run',
  'a file in /sys': 'touch /sys/x',
  '/proc/sys': 'echo 0 > /proc/sys/kernel/randomize_va_space',
  '/proc/sys/net': 'echo 1 > /proc/sys/net/ipv4/ip_forward',
  'a new cgroup': 'mkdir /sys/fs/cgroup/x',
  'a new cgroup of a v1 hierarchy': 'mkdir /sys/fs/cgroup/memory/x',
  'its own limit': 'echo max > /sys/fs/cgroup/memory.max',
  'its own limit on v1': 'echo -1 > /sys/fs/cgroup/memory/memory.limit_in_bytes',
  'its own devices on v1': 'echo a > /sys/fs/cgroup/devices/devices.allow',
  'another layer below': 'umount /sys/fs/cgroup',
  'processes of the host': 'ls /proc/$HOST_PID',
  '/dev/kmsg': 'head -c 1 /dev/kmsg',
  'the kernel log': 'dmesg',
  '/proc/kcore': 'test -s /proc/kcore && head -c 1 /proc/kcore | grep -q .',
  'the clock': '! date -s 2001-01-01 2>&1 | grep -q permitted',
  'the host name': 'hostname other',
  'the loopback link': 'ip link set lo down',
  'a reboot': 'reboot -f',
}

testUnless(test, lacksContainers(), 'the default profile refuses what it must', async () => {
  await using sandbox = await labWith(
    'pakt-profile',
    'box:\n  rootfs: ./rootfs\n  command: [sleep, "1000"]\n  stop_grace_period: 0s\n  tmpfs: [/tmp]\n',
  )
  await sandbox.ok(['up', '-d'])
  // One exec for all: each attempt says whether it came through.
  const script = Object.entries(REFUSED).map(
    ([what, attempt]) => `if (${attempt}) >/dev/null 2>&1; then echo "${what}"; fi`,
  )
  const host = `HOST_PID=${process.pid}`
  assert.is(await tell(sandbox, 'box', [host, ...script].join('\n')), '')
  const status = await tell(sandbox, 'box', 'cat /proc/self/status')
  assert.match(status, /^Seccomp:\s+2$/m)
  assert.is(beyondDefault(status), 0n)
  const first = readFileSync(`/proc/${await pidOf(sandbox, 'box')}/status`, 'utf8')
  assert.match(first, /^Seccomp:\s+2$/m)
  assert.is(beyondDefault(first), 0n)
  assert.not.match(await tell(sandbox, 'box', 'ls /dev'), /kmsg|mem|sd|vd|loop/)
})

testUnless(
  test,
  lacksContainers() ?? hostLacks('perl'),
  'system calls that no applet makes are refused too',
  async () => {
    await using sandbox = await labWith(
      'pakt-calls',
      'box:\n  rootfs: /\n  command: [sleep, "1000"]\n  stop_grace_period: 0s\n',
    )
    await sandbox.ok(['up', '-d'])
    // x86-64 and arm64 numbers of keyctl, bpf, perf_event_open, userfaultfd; `add_key` goes with keyctl.
    const numbers = process.arch === 'x64' ? [250, 248, 321, 298, 323] : [219, 217, 280, 241, 282]
    const code = numbers
      .map((n) => `$! = 0; syscall(${n}, 0, 0, 0, 0, 0); print int($!), " ";`)
      .join('')
    const { stdout } = await sandbox.run(['exec', 'box', 'perl', '-e', code])
    // EPERM, every one of them; ENOSYS would do as well but says less.
    assert.is(stdout.trim(), numbers.map(() => '1').join(' '))
  },
)

testUnless(
  test,
  lacksContainers(),
  'exec through /proc/self/exe cannot reach the runtime',
  async () => {
    await using sandbox = await labWith(
      'pakt-selfexe',
      'box:\n  rootfs: ./rootfs\n  command: [sleep, "1000"]\n  stop_grace_period: 0s\n',
    )
    await sandbox.ok(['up', '-d'])
    const crun = fingerprint()
    // The program that exec starts is the runtime itself, once more: CVE-2019-5736.
    await tell(sandbox, 'box', 'ln -sf /proc/self/exe /bin/evil; true')
    await tell(
      sandbox,
      'box',
      '(for i in 1 2 3 4 5 6 7 8 9; do for p in /proc/[0-9]*/exe; do case $(readlink $p) in *crun*) echo x > $p;; esac; done; done) 2>/dev/null & true',
    )
    await inside(sandbox, 'box', 'true')
    await sandbox.run(['exec', 'box', '/bin/evil'])
    await sandbox.run(['exec', 'box', '/proc/self/exe', '--version'])
    assert.equal(fingerprint(), crun)
  },
)

/** Docker's fourteen, as a mask: a host may have fewer to give, nobody gets more. */
const DEFAULT_CAPABILITIES = 0xa80425fbn

function beyondDefault(status: string): bigint {
  const mask = /^CapBnd:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? 'ffffffffffffffff'
  return BigInt(`0x${mask}`) & ~DEFAULT_CAPABILITIES
}

function fingerprint(): string {
  return execFileSync('sh', ['-c', 'sha256sum "$(command -v crun)"'], { encoding: 'utf8' })
}

test.run()
