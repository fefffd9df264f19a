/** Which distribution package brings a host tool; the names agree on Debian, Ubuntu, Fedora and Arch but where noted. */
const PACKAGES: Readonly<Record<string, string>> = {
  crun: 'crun',
  runc: 'runc',
  conmon: 'conmon',
  nft: 'nftables',
  ip: 'iproute2',
  bridge: 'iproute2',
  wg: 'wireguard-tools',
  conntrack: 'conntrack',
  mount: 'util-linux',
  umount: 'util-linux',
  unshare: 'util-linux',
  nsenter: 'util-linux',
  tar: 'tar',
  perl: 'perl-base',
  setpriv: 'util-linux',
  zstd: 'zstd',
  catatonit: 'catatonit',
}

/** Debian's package for a tool; `null` when pak does not know the tool. */
export function packageOf(tool: string): string | null {
  const name = tool.slice(tool.lastIndexOf('/') + 1)
  return Object.hasOwn(PACKAGES, name) ? (PACKAGES[name] ?? null) : null
}
