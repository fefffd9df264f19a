import { PakError } from '../../errors.ts'
import type { ContainerSpec } from '../../model/desired.ts'
import type { Step } from '../../model/plan.ts'
import { securityFragment } from '../../security/fragment.ts'
import type { LinuxHost } from './host.ts'

/** What containers to be made will get less of than they ask for, one line each. */
export async function cautions(
  host: LinuxHost,
  steps: readonly Step[],
): Promise<readonly string[]> {
  const found = await findings(host, steps)
  return [...new Set(found.flatMap(({ notes }) => notes))]
}

/** What confinement cannot be had at all: a device that is not there, a profile that makes no sense. */
export async function unconfinable(
  host: LinuxHost,
  steps: readonly Step[],
): Promise<readonly PakError[]> {
  const found = await findings(host, steps)
  return found.flatMap(({ problem }) => problem ?? [])
}

interface Finding {
  readonly notes: readonly string[]
  readonly problem: PakError | null
}

function findings(host: LinuxHost, steps: readonly Step[]): Promise<readonly Finding[]> {
  const wishes = new Map(
    steps.flatMap((step) =>
      step.op === 'container.create' && isParticular(step.args.spec)
        ? [[step.args.service, step.args.spec] as const]
        : [],
    ),
  )
  return Promise.all([...wishes].map(([service, spec]) => finding(host, service, spec)))
}

/** The default profile is nobody's wish, and looks the same in every container. */
const isParticular = ({ ulimits, capAdd, devices, security, ...rest }: ContainerSpec): boolean =>
  ulimits.length + capAdd.length + devices.length > 0 ||
  rest.oomScoreAdj !== 0 ||
  typeof security.seccomp !== 'string' ||
  security.apparmor !== null

async function finding(host: LinuxHost, service: string, spec: ContainerSpec): Promise<Finding> {
  try {
    const { notes } = await securityFragment(spec, {
      kernel: host.kernel,
      runtime: host.oci.name,
      host: host.security,
    })
    return { notes: notes.map((note) => `service \`${service}\`: ${note}`), problem: null }
  } catch (error) {
    if (error instanceof PakError) return { notes: [], problem: error }
    throw error
  }
}
