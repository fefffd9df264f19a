import { PakError } from '../../errors.ts'
import { addressText } from '../../model/logging.ts'
import type { Step } from '../../model/plan.ts'
import { findTool } from '../../runtime/oci.ts'
import { JOURNAL_SOCKET } from './forwarding.ts'
import type { LinuxHost } from './host.ts'

/** What a `logging` asks for that is not here. A server that does not answer is no reason: lines wait for it. */
export async function missingLoggers(
  host: LinuxHost,
  steps: readonly Step[],
): Promise<readonly PakError[]> {
  const loggings = loggingsOf(steps)
  const journald = loggings.find(({ logging }) => logging.driver === 'journald')
  if (journald !== undefined && !(await isSocket(host, JOURNAL_SOCKET)))
    return [
      new PakError(
        'host',
        `logging of \`${journald.service}\`: no journald runs here, \`${JOURNAL_SOCKET}\` is no socket`,
        { hint: 'start systemd-journald, or take the driver file or syslog' },
      ),
    ]
  const needsSender = loggings.some(
    ({ logging }) =>
      logging.driver === 'journald' ||
      (logging.driver === 'syslog' && logging.address.kind === 'unix'),
  )
  try {
    if (needsSender) for (const tool of ['perl', 'setpriv']) await findTool(host.kernel, tool)
    return []
  } catch (error) {
    if (error instanceof PakError) return [error]
    throw error
  }
}

/** Sockets of this machine at which nobody listens yet. */
export async function silentLoggers(
  host: LinuxHost,
  steps: readonly Step[],
): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const { logging } of loggingsOf(steps)) {
    if (logging.driver !== 'syslog' || logging.address.kind !== 'unix') continue
    if (await isSocket(host, logging.address.path)) continue
    found.add(`logging: ${addressText(logging.address)} is no socket now; lines wait in the log`)
  }
  return [...found]
}

const loggingsOf = (steps: readonly Step[]) =>
  steps.flatMap((step) =>
    step.op === 'container.create'
      ? [{ service: step.args.service, logging: step.args.spec.logging }]
      : [],
  )

const isSocket = async ({ kernel }: LinuxHost, path: string): Promise<boolean> =>
  (await kernel.stat(path))?.kind === 'socket'
