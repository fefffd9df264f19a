import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { installed } from './skip.ts'

/** Programs that the kernel and scenario tests use, with the Debian package that brings each. */
export const HOST_PROGRAMS: Readonly<Record<string, string>> = {
  crun: 'crun',
  runc: 'runc',
  conmon: 'conmon',
  nft: 'nftables',
  ip: 'iproute2',
  busybox: 'busybox-static',
  zstd: 'zstd',
  ps: 'procps',
  dig: 'dnsutils',
  // For the emulated machine, which has this one's programs and a kernel with WireGuard.
  wg: 'wireguard-tools',
  iptables: 'iptables',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
}

/**
 * Install what is missing, with apt, after saying so. The reason why that cannot be done, or `null`
 * when everything is there.
 */
export function provideHost(
  programs: Readonly<Record<string, string>> = HOST_PROGRAMS,
): string | null {
  const wanted = Object.entries(programs).filter(([program]) => !installed(program))
  if (wanted.length === 0) return null
  const packages = [...new Set(wanted.map(([, name]) => name))]
  if (process.getuid?.() !== 0) return `needs root to install ${packages.join(' ')}`
  if (!existsSync('/usr/bin/apt-get')) return `no apt-get here: install ${packages.join(' ')}`
  console.log(`host: installing with apt-get: ${packages.join(' ')}`)
  const update = apt(['update', '-qq'])
  const install = apt(['install', '-y', '-qq', '--no-install-recommends', ...packages])
  if (install.status === 0) return null
  return `apt-get install ${packages.join(' ')}: ${(install.stderr || update.stderr).trim()}`
}

function apt(args: readonly string[]) {
  return spawnSync('apt-get', args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
}
