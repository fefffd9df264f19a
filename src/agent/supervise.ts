import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'

/** What every process of the agent gets to see: nothing of the user's environment. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C',
  LC_ALL: 'C',
}

/**
 * Fixed text; everything that varies is an argument. It lets go of what its starter left open, as far as
 * a shell can, holds the sockets (3, 4, 5) and the mount namespace, and starts the agent again whenever it ends other than by its own will: at once after a
 * good run, else after 100 ms, and once a second when it keeps failing. Without a container to look
 * after it gives up in the end; with one, never. An agent that cannot start at all (3, see CANNOT_START)
 * is not tried again: whoever wanted it is told.
 */
const LOOP = `
exec 6>&- 7>&- 8>&- 9>&-
run_root=$1
shift
child= stop= quick=0 first=1
trap 'stop=1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT HUP
while :; do
  read -r began rest </proc/uptime
  PAK_SUPERVISOR=$$ "$@" &
  child=$!
  while wait "$child"; status=$?; kill -0 "$child" 2>/dev/null; do :; done
  child=
  if [ "$status" -eq 0 ]; then exit 0; fi
  if [ -n "$stop" ]; then break; fi
  echo "supervisor: agent ended with $status"
  if [ "$status" -eq 3 ] && [ -n "$first" ]; then break; fi
  first=
  read -r now rest </proc/uptime
  if [ $((\${now%.*} - \${began%.*})) -ge 5 ]; then quick=0; continue; fi
  quick=$((quick + 1))
  if [ "$quick" -lt 5 ]; then sleep 0.1; continue; fi
  sleep 1
  if [ "$quick" -lt 30 ]; then continue; fi
  alive=
  for file in "$run_root"/containers/*/conmon.pid; do [ -e "$file" ] && alive=1; done
  [ -n "$alive" ] || break
done
rm -f "$run_root/pak.sock" "$run_root/agent.json"
exit 1
`

/** Exit status of an agent that could not even begin; why is in `agent.error`. */
export const CANNOT_START = 3

export interface Supervision {
  readonly runRoot: string
  /** The agent: a program with its arguments. */
  readonly program: readonly string[]
  readonly fds: readonly [api: number, udp: number, tcp: number]
  /** How to get into a mount namespace: a new one, that of a living monitor, or the caller's own. */
  readonly namespace: 'new' | 'own' | { readonly ofPid: number }
  /** `false`: a service manager, or a person, keeps it in the foreground with its own stdio. */
  readonly detached: boolean
}

/** Start a supervisor; it has its own copies of the sockets when this returns. */
export function startSupervisor(supervision: Supervision): ChildProcess {
  const { runRoot, program, fds, detached } = supervision
  const loop = ['/bin/sh', '-c', LOOP, 'pak supervisor', runRoot, ...program]
  const [file = '/bin/sh', ...args] = [...entrance(supervision.namespace), ...loop]
  const log = openSync(join(runRoot, 'agent.log'), 'a', 0o600)
  const output = detached ? log : 'inherit'
  try {
    return spawn(file, args, {
      cwd: '/',
      env: ENVIRONMENT,
      detached,
      stdio: ['ignore', output, output, ...fds],
    })
  } finally {
    closeSync(log)
  }
}

function entrance(namespace: Supervision['namespace']): readonly string[] {
  if (namespace === 'own') return []
  if (namespace === 'new') return ['unshare', '--mount', '--propagation', 'slave', '--']
  return ['nsenter', `--mount=/proc/${namespace.ofPid}/ns/mnt`, '--']
}
