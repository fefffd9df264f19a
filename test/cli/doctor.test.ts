import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { diagnose } from '../../src/cli/commands/doctor.ts'
import { installerOf } from '../../src/cli/commands/installer.ts'
import { PakError } from '../../src/errors.ts'
import type { Kernel } from '../../src/kernel/kernel.ts'

interface PaperHost {
  readonly files?: Readonly<Record<string, string>>
  /** What each program prints; the others are not installed. */
  readonly programs?: Readonly<Record<string, string>>
}

/** A host that has just this, and on which nothing can be changed. */
function paperKernel({ files = {}, programs = {} }: PaperHost): Kernel {
  const refuse = () => Promise.reject(new Error('doctor changes nothing'))
  return {
    run: async (file) => {
      const stdout = programs[file]
      if (stdout === undefined) throw new PakError('tool_missing', `run \`${file}\`: not installed`)
      return { exitCode: 0, stdout, stderr: '', piped: '' }
    },
    readText: async (path) => files[path] ?? null,
    readNow: (path) => files[path] ?? null,
    keepFile: () => ({ saysStill: () => false, close: () => {} }),
    readHead: async () => null,
    listNow: () => [],
    readBelow: async () => null,
    list: async (path) =>
      path === '/proc/self/ns' ? ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts'] : [],
    exists: async () => false,
    stat: async () => null,
    realPath: async (path: string) => path,
    readLink: async () => null,
    writeText: refuse,
    replaceFile: refuse,
    makeFolder: refuse,
    removeTree: refuse,
    removeFolder: refuse,
    releasePipe: () => false,
    kill: () => false,
  }
}

const V2 = '30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n'
const HYBRID =
  '31 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n' +
  '32 24 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n' +
  '33 24 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n'
const CONTROLLERS = '/sys/fs/cgroup/cgroup.controllers'
const TOOLS = {
  crun: 'crun version 1.14.1\n',
  catatonit: 'tini version 0.1.7_catatonit\n',
  runc: 'runc version 1.1.5+ds1\n',
  conmon: 'conmon version 2.1.10\n',
  ip: 'ip utility, iproute2-6.1.0, libbpf 1.1.0\n',
  nft: 'nftables v1.0.6 (Lester Gooch #5)\n',
  mount: 'mount from util-linux 2.38.1\n',
  unshare: 'unshare from util-linux 2.38.1\n',
  nsenter: 'nsenter from util-linux 2.38.1\n',
  conntrack: 'conntrack v1.4.7 (conntrack-tools)\n',
  zstd: '*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***\n',
}

async function found(host: PaperHost, name: string) {
  const { checks } = await diagnose(paperKernel(host))
  const check = checks.find((known) => known.name === name)
  assert.ok(check, name)
  return check
}

test('tools and their versions', async () => {
  assert.is((await found({ programs: TOOLS }, 'crun')).found, '1.14.1')
  assert.is((await found({ programs: TOOLS }, 'ip')).found, '6.1.0')
  assert.is((await found({ programs: TOOLS }, 'zstd')).found, '1.5.4')
  assert.is((await diagnose(paperKernel({ programs: TOOLS }))).install, null)
})

test('what is missing is named by this distribution’s package, with the command that installs it', async () => {
  const { ip: _, zstd: __, ...programs } = TOOLS
  const on = (release: string) =>
    diagnose(paperKernel({ files: { '/etc/os-release': release }, programs }))
  const fedora = await on('NAME=Fedora\nID=fedora\n')
  assert.equal(fedora.install, ['dnf', 'install', '-y', 'iproute', 'zstd'])
  assert.is(fedora.checks.find(({ name }) => name === 'ip')?.status, 'missing')
  assert.is(fedora.checks.find(({ name }) => name === 'zstd')?.status, 'limited')
  const mint = await on('ID=linuxmint\nID_LIKE="ubuntu debian"\n')
  assert.equal(mint.install, ['apt-get', 'install', '-y', 'iproute2', 'zstd'])
  assert.is((await on('ID=else\n')).install, null)
  assert.is(await installerOf(paperKernel({})), null)
})

test('cgroup versions and controllers', async () => {
  const v2 = { '/proc/self/mountinfo': V2, [CONTROLLERS]: 'cpuset cpu io memory pids\n' }
  assert.is((await found({ files: v2 }, 'cgroups')).found, 'v2')
  assert.is((await found({ files: v2 }, 'controllers')).status, 'ok')
  const hybrid = { '/proc/self/mountinfo': HYBRID }
  assert.is((await found({ files: hybrid }, 'cgroups')).found, 'v1 and v2 (hybrid)')
  const controllers = await found({ files: hybrid }, 'controllers')
  assert.is(controllers.found, 'cpu, memory')
  assert.is(controllers.status, 'limited')
  assert.is((await found({}, 'cgroups')).status, 'missing')
})

test('an old kernel, no privileges', async () => {
  const files = {
    '/proc/sys/kernel/osrelease': '4.18.0-el8\n',
    '/proc/self/status': 'CapEff:\t0000000000000000\n',
  }
  assert.is((await found({ files }, 'kernel')).status, 'limited')
  assert.is((await found({ files }, 'privileges')).status, 'missing')
})

test.run()
