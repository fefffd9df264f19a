import { createHash } from 'node:crypto'
import type { Roots } from './parts.ts'

const DEFAULTS: Pick<Roots, 'root' | 'runRoot'> = { root: '/var/lib/pak', runRoot: '/run/pak' }

/** One unit for each pair of roots; the usual pair's is `pak.service`. */
export function unitName({ root, runRoot }: Roots): string {
  if (root === DEFAULTS.root && runRoot === DEFAULTS.runRoot) return 'pak.service'
  const digest = createHash('sha256').update(`${root}\0${runRoot}`).digest('hex')
  return `pak-${digest.slice(0, 8)}.service`
}

/**
 * The systemd.service(5) that starts the agent at boot. `program` starts it, tells systemd which process is
 * the supervisor, and ends. A stop, or an update of systemd's own, never reaches the containers: only that
 * process is signalled, and cgroups below are pak's.
 */
export function unitText(program: readonly string[], { root, runRoot, runtime }: Roots): string {
  const words = [...program, '--root', root, '--run-root', runRoot, '--runtime', runtime]
  return `[Unit]
Description=pak, containers of ${unitWord(root)}
Wants=network-online.target
After=network-online.target local-fs.target firewalld.service ufw.service
RequiresMountsFor=${unitWord(root)}

[Service]
Type=notify
NotifyAccess=all
ExecStart=${[...words, 'agent', 'start', '--stay'].map(unitWord).join(' ')}
KillMode=process
Delegate=yes
Restart=on-failure
RestartSec=1
TimeoutStartSec=90
TasksMax=infinity
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
`
}

/** "Quoting" and "Specifiers" of systemd.syntax(7) and systemd.unit(5); no variable is meant. */
function unitWord(text: string): string {
  const escaped = text
    .replace(/[\\"]/g, '\\$&')
    .replaceAll('%', '%%')
    .replaceAll('$', '$$$$')
    .replaceAll('\n', '\\n')
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped}"`
}
