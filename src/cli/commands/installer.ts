import type { Kernel } from '../../kernel/kernel.ts'

/** How this distribution installs packages. */
export interface Installer {
  readonly family: 'debian' | 'fedora' | 'arch' | 'alpine' | 'suse'
  readonly command: readonly string[]
}

const INSTALLERS: readonly (readonly [id: RegExp, installer: Installer])[] = [
  [/^(debian|ubuntu)$/, { family: 'debian', command: ['apt-get', 'install', '-y'] }],
  [/^(fedora|rhel|centos)$/, { family: 'fedora', command: ['dnf', 'install', '-y'] }],
  [/^arch$/, { family: 'arch', command: ['pacman', '-S', '--needed', '--noconfirm'] }],
  [/^alpine$/, { family: 'alpine', command: ['apk', 'add'] }],
  [/^(suse|opensuse.*)$/, { family: 'suse', command: ['zypper', '-n', 'install'] }],
]

/** From os-release(5): ID, then ID_LIKE. Null on a distribution that pak does not know. */
export async function installerOf(kernel: Kernel): Promise<Installer | null> {
  const text =
    (await kernel.readText('/etc/os-release')) ?? (await kernel.readText('/usr/lib/os-release'))
  const value = (key: string): string =>
    new RegExp(`^${key}=["']?([^"'\\n]*)`, 'm').exec(text ?? '')?.[1] ?? ''
  for (const id of [value('ID'), ...value('ID_LIKE').split(' ')])
    for (const [known, installer] of INSTALLERS) if (known.test(id)) return installer
  return null
}

/** Debian's names, where a family has its own. */
const OTHER_NAMES: Readonly<Record<string, Partial<Record<Installer['family'], string>>>> = {
  iproute2: { fedora: 'iproute' },
  conntrack: {
    fedora: 'conntrack-tools',
    arch: 'conntrack-tools',
    alpine: 'conntrack-tools',
    suse: 'conntrack-tools',
  },
}

export function packageFor(debianName: string, installer: Installer | null): string {
  const names = OTHER_NAMES[debianName]
  return (installer === null ? undefined : names?.[installer.family]) ?? debianName
}
