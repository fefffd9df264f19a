// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { execFileSync, spawnSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { agentPids, busyboxSandbox, fleetLacks, manifest, pids } from '../support/fleet.ts'
import type { PakSandbox } from '../support/pak.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { nothingLeft } from '../support/traces.ts'

const NETWORKS = ['fleet/default']
/** Nobody has a log open: a file system that is written to cannot be made read-only. */
const QUICK = { stop_signal: 'SIGKILL', logging: { driver: 'none' } }
const BEFORE = manifest({ kept: QUICK, other: QUICK })
const AFTER = manifest({ kept: QUICK, another: QUICK })

const PAGE = Buffer.alloc(4096)

interface Shortage {
  /** What the state root lies on. */
  readonly mount: (pak: PakSandbox) => void
  readonly begin: (pak: PakSandbox, agent: number) => void
  readonly end: (pak: PakSandbox, agent: number) => void
  readonly says: RegExp
}

const tmpfs = (options: string) => (pak: PakSandbox) => {
  mkdirSync(pak.root)
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'pakt', pak.root])
}

const SHORTAGES: Readonly<Record<string, Shortage>> = {
  'a full disk': {
    mount: tmpfs('size=4M'),
    begin: ({ root }) => fill(() => appendFileSync(join(root, 'filler'), PAGE)),
    end: ({ root }) => rmSync(join(root, 'filler')),
    says: /no space left on the device\nhint: df/,
  },
  'a disk without inodes': {
    mount: tmpfs('size=64M,nr_inodes=500'),
    begin: ({ root }) => {
      mkdirSync(join(root, 'filler'))
      let count = 0
      fill(() => writeFileSync(join(root, 'filler', String(count++)), ''))
    },
    end: ({ root }) => rmSync(join(root, 'filler'), { recursive: true }),
    says: /no space left on the device\nhint: df and df -i/,
  },
  'a disk that became read-only': {
    mount: tmpfs('size=64M'),
    begin: ({ root }) => execFileSync('mount', ['-o', 'remount,ro', root]),
    end: ({ root }) => execFileSync('mount', ['-o', 'remount,rw', root]),
    says: /the file system is read-only\nhint: dmesg/,
  },
  'an agent without descriptors': {
    mount: () => {},
    begin: (_, agent) => limitFiles(agent, readdirSync(`/proc/${agent}/fd`).length + 2),
    end: (_, agent) => limitFiles(agent, 4096),
    says: /too many open files\nhint: the agent needs a higher limit/,
  },
}

for (const [name, shortage] of Object.entries(SHORTAGES))
  testUnless(
    test,
    fleetLacks() ?? hostLacks('mount', 'prlimit'),
    `${name}: the operation says so and does nothing by half, the agent stays, and all goes on afterwards`,
    async () => {
      await using pak = await busyboxSandbox()
      shortage.mount(pak)
      try {
        await pak.write('pak.yaml', BEFORE)
        await pak.ok(['up', '-d'])
        const before = await pids(pak)
        const { agent } = await agentPids(pak)
        await pak.write('pak.yaml', AFTER)
        shortage.begin(pak, agent)
        const refused = await pak.run(['up', '-d', '--remove-orphans'])
        assert.is(refused.exitCode, 1)
        assert.match(refused.stderr, shortage.says)
        assert.not.match(refused.stderr, 'bug')
        shortage.end(pak, agent)
        assert.equal(await pids(pak), before)
        await pak.ok(['up', '-d', '--remove-orphans'])
        const after = await pids(pak)
        assert.equal(Object.keys(after).sort(), ['another', 'kept'])
        assert.is(after['kept'], before['kept'])
        assert.is((await agentPids(pak)).agent, agent)
        await pak.ok(['down'])
        await nothingLeft(pak, NETWORKS)
      } finally {
        // What is mounted cannot go with the sandbox, and what runs needs it to the end.
        await pak.run(['down'])
        spawnSync('umount', [pak.root])
      }
    },
  )

/** Until the file system has no more. */
function fill(add: () => void): void {
  assert.throws(() => {
    for (;;) add()
  }, /ENOSPC/)
}

const limitFiles = (pid: number, most: number) =>
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${most}:`])

test.run()
