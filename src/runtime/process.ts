import { PakError } from '../errors.ts'
import type { ContainerSpec } from '../model/desired.ts'
import type { ImageConfig } from '../model/image.ts'
import type { SecurityFragment } from '../security/fragment.ts'
import { INIT_PATH } from './init.ts'
import type { OciProcess } from './oci-types.ts'
import type { ResolvedUser } from './user.ts'

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Linux takes 64 bytes with the end mark. */
const HOSTNAME_MAX = 63

export interface ProcessInput {
  readonly spec: ContainerSpec
  readonly image: ImageConfig | null
  readonly name: string
  readonly user: ResolvedUser
  readonly security: SecurityFragment
}

/** The container's first process. Pure. PakError `manifest` when nothing says what to run. */
export function initProcess(input: ProcessInput): OciProcess {
  const args = commandOf(input)
  return {
    ...processFrame(input),
    args: input.spec.init ? [INIT_PATH, '--', ...args] : args,
    env: entries(environmentOf(input)),
  }
}

/** Docker's rule: an entrypoint of one's own drops the image's command with its entrypoint. */
function commandOf({ spec, image, name }: ProcessInput): readonly string[] {
  const entrypoint = spec.entrypoint ?? image?.entrypoint ?? []
  const command = spec.command ?? (spec.entrypoint === null ? (image?.command ?? []) : [])
  const args = [...entrypoint, ...command]
  if (args.length === 0)
    throw new PakError('manifest', `run \`${name}\`: neither it nor its image says what to run`, {
      hint: 'give it a `command`',
    })
  return args
}

/** What all processes of a container have in common: who they are, where, and how confined. */
export function processFrame({
  spec,
  image,
  user,
  security,
}: ProcessInput): Omit<OciProcess, 'args' | 'env'> {
  const { capabilities, rlimits, oomScoreAdj, noNewPrivileges, apparmor } = security
  const cwd = spec.workingDir ?? image?.workingDir ?? '/'
  return {
    terminal: false,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids },
    cwd: cwd.startsWith('/') ? cwd : '/',
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    rlimits,
    noNewPrivileges,
    ...(oomScoreAdj === null ? {} : { oomScoreAdj }),
    ...(apparmor === null ? {} : { apparmorProfile: apparmor }),
  }
}

/** Later ones win: pak's defaults, the image's, the manifest's. */
export function environmentOf(input: ProcessInput): Readonly<Record<string, string>> {
  const hostname = hostnameOf(input.spec, input.name)
  return {
    PATH: DEFAULT_PATH,
    HOME: input.user.home,
    ...(hostname === null ? {} : { HOSTNAME: hostname }),
    ...input.image?.environment,
    ...input.spec.environment,
  }
}

/** Sorted, so that the same input gives the same spec. */
export const entries = (environment: Readonly<Record<string, string>>): readonly string[] =>
  Object.keys(environment)
    .sort()
    .map((key) => `${key}=${environment[key]}`)

/** `null` when the container has the host's. */
export function hostnameOf(spec: ContainerSpec, name: string): string | null {
  if (spec.utsMode === 'host') return null
  return (spec.hostname ?? name).slice(0, HOSTNAME_MAX)
}
