import type { Kernel } from '../../kernel/kernel.ts'
import { nftList } from '../../kernel/nft.ts'
import type { Check } from './doctor.ts'

/** What the kernel and this process may do. Reads only. */
export async function kernelChecks(kernel: Kernel): Promise<readonly Check[]> {
  const [release, filesystems, controllers, status] = await Promise.all([
    kernel.readText('/proc/sys/kernel/osrelease'),
    kernel.readText('/proc/filesystems'),
    cgroups(kernel),
    kernel.readText('/proc/self/status'),
  ])
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status ?? '')?.[1] ?? '0'}`)
  return [
    await nodeCheck(),
    rootCheck(capabilities),
    {
      name: 'rlimits',
      kind: 'host',
      status: has(capabilities, CAP_SYS_RESOURCE) ? 'ok' : 'limited',
      found: has(capabilities, CAP_SYS_RESOURCE) ? 'CAP_SYS_RESOURCE' : 'no CAP_SYS_RESOURCE',
      detail: 'ulimits above what pak itself has; without it they are cut to that',
      package: null,
    },
    {
      name: 'kernel',
      kind: 'kernel',
      status: atLeast(release, [5, 4]) ? 'ok' : 'limited',
      found: release?.trim() ?? null,
      detail: 'Linux 5.4 or later',
      package: null,
    },
    ...(await namespaceChecks(kernel)),
    feature('overlay', /\boverlay$/m.test(filesystems ?? ''), 'roots of containers'),
    ...controllers,
    await networkCheck(kernel),
    ...(await forwardCheck(kernel)),
    await seccompCheck(kernel),
    await apparmorCheck(kernel),
  ]
}

const CAP_SYS_ADMIN = 21n
const CAP_NET_ADMIN = 12n
const CAP_SYS_RESOURCE = 24n

const has = (capabilities: bigint, bit: bigint): boolean => ((capabilities >> bit) & 1n) === 1n

async function nodeCheck(): Promise<Check> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return {
    name: 'node',
    kind: 'host',
    status: major > 20 || (major === 20 && minor >= 19) ? 'ok' : 'missing',
    found: process.versions.node,
    detail: 'Node 20.19 or later runs pak',
    package: null,
  }
}

function rootCheck(capabilities: bigint): Check {
  const able = has(capabilities, CAP_SYS_ADMIN) && has(capabilities, CAP_NET_ADMIN)
  return {
    name: 'privileges',
    kind: 'host',
    status: able ? 'ok' : 'missing',
    found: able ? 'CAP_SYS_ADMIN, CAP_NET_ADMIN' : `uid ${process.getuid?.() ?? '?'}`,
    detail: 'pak makes mounts, networks and cgroups: run it as root',
    package: null,
  }
}

function atLeast(release: string | null, [major, minor]: readonly [number, number]): boolean {
  const parts = /^(\d+)\.(\d+)/.exec(release ?? '')
  const found = Number(parts?.[1] ?? 0)
  return found > major || (found === major && Number(parts?.[2] ?? 0) >= minor)
}

const feature = (name: string, there: boolean, detail: string): Check => ({
  name,
  kind: 'kernel',
  status: there ? 'ok' : 'missing',
  found: there ? 'yes' : null,
  detail,
  package: null,
})

async function namespaceChecks(kernel: Kernel): Promise<readonly Check[]> {
  const wanted = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'uts']
  const found = await kernel.list('/proc/self/ns')
  const missing = wanted.filter((name) => !found.includes(name))
  return [
    {
      ...feature('namespaces', missing.length === 0, 'what a container is made of'),
      found: wanted.filter((name) => found.includes(name)).join(', '),
    },
  ]
}

const CONTROLLERS = ['cpu', 'cpuset', 'memory', 'pids'] as const

async function cgroups(kernel: Kernel): Promise<readonly Check[]> {
  const mounts = (await kernel.readText('/proc/self/mountinfo')) ?? ''
  const unified = / \/sys\/fs\/cgroup \S+(?: \S+)* - cgroup2 /.test(mounts)
  const v2 = / - cgroup2 /.test(mounts)
  const v1 = / - cgroup /.test(mounts)
  const version = unified && !v1 ? 'v2' : v1 && v2 ? 'v1 and v2 (hybrid)' : v1 ? 'v1' : null
  const available =
    version === 'v2'
      ? ((await kernel.readText('/sys/fs/cgroup/cgroup.controllers')) ?? '').trim().split(' ')
      : [...mounts.matchAll(/ - cgroup \S+ (\S+)$/gm)].flatMap((match) =>
          (match[1] ?? '').split(','),
        )
  const missing = CONTROLLERS.filter((name) => !available.includes(name))
  return [
    { ...feature('cgroups', version !== null, 'limits and counters'), found: version },
    {
      name: 'controllers',
      kind: 'kernel',
      status: missing.length === 0 ? 'ok' : 'limited',
      found: CONTROLLERS.filter((name) => available.includes(name)).join(', '),
      detail:
        missing.length === 0
          ? 'limits on CPU, memory and processes'
          : `limits of ${missing.join(', ')} will not hold`,
      package: null,
    },
  ]
}

/** Asked of nft itself: modules load on demand, so that a list of modules proves nothing. */
async function networkCheck(kernel: Kernel): Promise<Check> {
  const answer = await kernel.run('nft', ['list', 'tables']).catch(() => null)
  const works = answer?.exitCode === 0
  return {
    name: 'nf_tables',
    kind: 'kernel',
    status: works ? 'ok' : 'missing',
    found: works ? 'yes' : (answer?.stderr.trim().split('\n')[0] ?? null),
    detail: 'published ports, masquerading, isolation',
    package: null,
  }
}

/** Whether another program's firewall drops what containers send, and who has to say that it may not. */
async function forwardCheck(kernel: Kernel): Promise<readonly Check[]> {
  const listed = await nftList(kernel, ['list chains']).catch(() => null)
  const chains = ((listed ?? []) as readonly { readonly chain?: ForwardChain }[]).flatMap(
    ({ chain }) => (chain?.hook === 'forward' && !/^pak/.test(chain.table) ? [chain] : []),
  )
  const legacy = (await kernel.readText('/proc/net/ip_tables_names')) ?? ''
  const found = chains.map(({ family, table, name }) => `${family} ${table} ${name}`)
  const limits = [
    ...(chains.some(({ table }) => table === 'firewalld') ? [await firewalldDetail(kernel)] : []),
    ...(/^filter$/m.test(legacy)
      ? ['iptables-legacy has rules that nft cannot see: let -i pak+ and -o pak+ through FORWARD']
      : []),
  ].filter((detail) => detail !== null)
  if (found.length + limits.length === 0) return []
  return [
    {
      name: 'other firewalls',
      kind: 'host',
      status: limits.length === 0 ? 'ok' : 'limited',
      found: found.join(', ') || null,
      detail: limits.join('; ') || 'where they drop by default, pak adds rules for its own bridges',
      package: null,
    },
  ]
}

interface ForwardChain {
  readonly family: string
  readonly table: string
  readonly name: string
  readonly hook?: string
}

async function firewalldDetail(kernel: Kernel): Promise<string | null> {
  const { stdout } = await kernel.run('nft', ['list', 'table', 'inet', 'firewalld'])
  if (stdout.includes('"pak*"')) return null
  return 'firewalld drops what containers send: firewall-cmd --permanent --zone=trusted --add-interface=pak+, then --reload'
}

async function seccompCheck(kernel: Kernel): Promise<Check> {
  const actions = await kernel.readText('/proc/sys/kernel/seccomp/actions_avail')
  return {
    name: 'seccomp',
    kind: 'kernel',
    status: actions === null ? 'limited' : 'ok',
    found: actions === null ? null : 'filter',
    detail: 'system calls that containers do not need are refused',
    package: null,
  }
}

async function apparmorCheck(kernel: Kernel): Promise<Check> {
  const enabled = (await kernel.readText('/sys/module/apparmor/parameters/enabled'))?.trim() === 'Y'
  return {
    name: 'apparmor',
    kind: 'kernel',
    status: enabled ? 'ok' : 'limited',
    found: enabled ? 'enabled' : 'off',
    detail: 'profiles named by security_opt; pak works without',
    package: null,
  }
}
