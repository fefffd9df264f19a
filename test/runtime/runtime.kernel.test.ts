// alone: measures shares of the CPU
import { access, constants, readFile, realpath } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import { type Limits, NO_LIMITS } from '../../src/model/limits.ts'
import { ociRuntime } from '../../src/runtime/oci.ts'
import { eventually } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { startContainer } from './container.ts'
import { inPrivateMounts } from './private.ts'

const MIB = 1024 * 1024
const EATS_MEMORY = ['sh', '-c', 'head -c 200m /dev/zero | tail']

const missing = hostLacks('crun', 'runc', 'conmon', 'busybox', 'unshare')
if (missing !== null || (await inPrivateMounts(import.meta.filename))) {
  for (const runtime of ['crun', 'runc']) registerFor(runtime)
  test.run()
}

function registerFor(runtime: string): void {
  const check = (name: string, body: () => Promise<void>) =>
    testUnless(test, missing, `${runtime}: ${name}`, body)

  check('runs a command, writes its log in the CRI format and its exit code', async () => {
    await using container = await startContainer(runtime, {
      command: ['sh', '-c', 'echo out; echo err >&2; exit 7'],
    })
    assert.is(await container.exitCode(), 7)
    assert.match(await container.log(), /^\d{4}-\S+ stdout F out$/m)
    assert.match(await container.log(), /^\d{4}-\S+ stderr F err$/m)
  })

  check('names a command that is not there, and leaves nothing of the container', async () => {
    const error = await startContainer(runtime, { command: ['nosuch'] }).then(
      async (container) => {
        await container[Symbol.asyncDispose]()
        return null
      },
      (thrown: unknown) => thrown,
    )
    assert.instance(error, PakError)
    if (error instanceof PakError) assert.is(error.code, 'command_not_found')
    assert.match(String(error), /`nosuch`/)
  })

  check('ends by signal with 128 and its number', async () => {
    await using container = await startContainer(runtime, {})
    await container.runtime.kill(container.id, 'KILL')
    assert.is(await container.exitCode(), 137)
  })

  check('tells what became of a command in exec', async () => {
    await using container = await startContainer(runtime, {})
    const statusOf = async (...command: string[]) => (await container.exec(...command)).status
    assert.is(await statusOf('sh', '-c', 'exit 3'), 3)
    assert.is(await statusOf('sh', '-c', 'kill -9 $$'), 137)
    assert.is(await statusOf('nosuch'), 127)
    assert.is(await statusOf('/etc'), 126)
    assert.is(await statusOf('sh', '-c', 'nosuch'), 127)
  })

  check(
    'puts an exec into the cgroup of its container, without descriptors of the host',
    async () => {
      await using container = await startContainer(runtime, {})
      const running = container.exec('sleep', '2')
      // The runtime's own helpers pass through the cgroup too: wait for the command itself.
      const other = await eventually('the second process', async () => {
        for (const pid of await container.cgroups.pids(container.cgroup))
          if (pid !== container.pid && (await readFile(`/proc/${pid}/comm`, 'utf8')) === 'sleep\n')
            return pid
        return null
      })
      assert.match(await readFile(`/proc/${other}/cgroup`, 'utf8'), `:${container.cgroup}\n`)
      assert.is((await running).status, 0)
      const { output } = await container.exec(
        'sh',
        '-c',
        'ls /proc/self/fd | grep -v "^[0-3]$"; true',
      )
      assert.is(output, '')
    },
  )

  check('sets the limits as asked, and changes them in place', async () => {
    const readable = {
      cpuMillis: 250,
      cpuWeight: 200,
      cpuset: '0',
      memoryBytes: 64 * MIB,
      swapBytes: 0,
      pids: 50,
    }
    const limits = { ...NO_LIMITS, ...readable }
    await using container = await startContainer(runtime, { limits })
    const { cgroups, cgroup } = container
    // The only CPU is what the parent has: no limit.
    const shown = availableParallelism() > 1 ? readable : { ...readable, cpuset: null }
    assert.equal(await cgroups.limits(cgroup), shown)
    assert.equal(await cgroups.drift(cgroup, limits), [])
    assert.equal(await cgroups.drift(cgroup, { ...limits, pids: 51 }), [
      'pids.max was 50, should be 51',
    ])
    const more = { cpuMillis: 500, cpuset: null, memoryBytes: 128 * MIB, pids: null }
    await cgroups.update(cgroup, { ...limits, ...more })
    assert.equal(await cgroups.limits(cgroup), { ...readable, ...more })
    const smaller = { ...NO_LIMITS, memoryBytes: 32 * MIB, swapBytes: 0 }
    await cgroups.update(cgroup, smaller)
    assert.is((await cgroups.limits(cgroup))?.memoryBytes, 32 * MIB)
    assert.is((await cgroups.limits(cgroup))?.cpuMillis, null)
    assert.equal(await cgroups.drift(cgroup, smaller), [])
    assert.equal(await cgroups.pids(cgroup), [container.pid])
  })

  check('takes every limit off again, whatever was set before', async () => {
    await using container = await startContainer(runtime, {})
    const { cgroups, cgroup } = container
    const isUnified = cgroups.version === 2
    const none: Limits = { ...NO_LIMITS, oom: 'container' }
    const steps: readonly Limits[] = [
      { ...none, cpuMillis: 500, cpuBurstMillis: 100, memoryBytes: 64 * MIB, swapBytes: 0 },
      // Less than the burst, and more memory than there was with swap.
      { ...none, cpuMillis: 50, cpuBurstMillis: 20, memoryBytes: 128 * MIB, swapBytes: 0 },
      { ...none, cpuMillis: 900, cpuBurstMillis: 900, memoryBytes: 32 * MIB, swapBytes: MIB },
      { ...none, memoryReservationBytes: 16 * MIB, oom: 'process' },
      isUnified ? { ...none, memoryHighBytes: 16 * MIB } : { ...none, swappiness: 7 },
      none,
    ]
    for (const [index, limits] of steps.entries()) {
      const before = steps[index - 1]
      if (before !== undefined) assert.is.not((await cgroups.drift(cgroup, limits)).length, 0)
      await cgroups.update(cgroup, limits)
      assert.equal(await cgroups.drift(cgroup, limits), [], `step ${index}`)
    }
    assert.equal(await cgroups.pids(cgroup), [container.pid])
  })

  check('holds a busy loop to its quarter of a CPU', async () => {
    await using container = await startContainer(runtime, {
      command: ['sh', '-c', 'while :; do :; done'],
      limits: { ...NO_LIMITS, cpuMillis: 250 },
    })
    const used = async () => (await container.cgroups.usage(container.cgroup))?.cpuUsageUsec ?? 0
    const [before, start] = [await used(), performance.now()]
    await sleep(2000)
    const share = (await used()) - before
    const millis = share / (performance.now() - start)
    assert.ok(millis < 290, `${millis} thousandths of a CPU`)
    assert.ok(millis > 100, `${millis} thousandths of a CPU`)
  })

  check('is killed for memory with 137, and the kernel counts it', async () => {
    await using container = await startContainer(runtime, {
      command: ['sh', '-c', 'exec tail /dev/zero'],
      limits: { ...NO_LIMITS, memoryBytes: 32 * MIB, swapBytes: 0 },
    })
    assert.is(await container.exitCode(), 137)
    assert.ok((await container.cgroups.oomKills(container.cgroup)) >= 1)
  })

  check('counts an exec that is killed for memory; the container goes with it', async () => {
    await using container = await startContainer(runtime, {
      limits: { ...NO_LIMITS, memoryBytes: 32 * MIB, swapBytes: 0 },
    })
    assert.is((await container.exec(...EATS_MEMORY)).status, 137)
    assert.ok((await container.cgroups.oomKills(container.cgroup)) >= 1)
    // On v2 the kernel has done this already (memory.oom.group); on v1 it is the agent's part.
    if (container.cgroups.version === 1) await container.cgroups.killAll(container.cgroup)
    assert.is(await container.exitCode(), 137)
  })

  check('cannot be written to by its containers, and the host sees nothing of that', async () => {
    const { path, environment } = await ociRuntime(hostKernel, { name: runtime, root: '/nowhere' })
    assert.is(environment['_LIBCONTAINER_CLONED_BINARY'], '1')
    // Asked, not opened: while anybody on this machine runs it, that is ETXTBSY.
    const code = await access(path, constants.W_OK).then(
      () => null,
      (refused: NodeJS.ErrnoException) => refused.code,
    )
    assert.is(code, 'EROFS')
    assert.not.match(await readFile('/proc/1/mountinfo', 'utf8'), ` ${await realpath(path)} `)
  })

  check('keeps a container from what is the host’s', async () => {
    await using container = await startContainer(runtime, {})
    const shell = async (command: string) => (await container.exec('sh', '-c', command)).status
    assert.is((await container.exec('grep', '-c', 'Seccomp:.2', '/proc/self/status')).status, 0)
    for (const refused of [
      'mount -t tmpfs none /tmp',
      'unshare -U true',
      'unshare -m true',
      'mknod /tmp/disk b 8 0',
      'echo h > /proc/sysrq-trigger',
      'echo 1 > /proc/sys/kernel/panic',
      'echo 1 > /sys/kernel/profiling',
      'true > /sys/fs/cgroup/x',
      'cat /dev/kmsg',
      'cat /proc/kcore | head -c 1 | grep .',
    ])
      assert.is.not(await shell(refused), 0, refused)
    assert.is(await shell('echo hello > /tmp/x && cat /tmp/x'), 0)
  })
}
