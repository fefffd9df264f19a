import { PakError } from '../../errors.ts'
import type { CniDoor } from './door.ts'
import { complaintOf, objectIn } from './failure.ts'
import { pluginEnvironment } from './request.ts'

/** Versions of the protocol that a plugin speaks, as it says itself. Throws what the door throws, and `network`. */
export async function supportedVersions(
  door: CniDoor,
  at: { readonly type: string; readonly version: string; readonly path: readonly string[] },
): Promise<readonly string[]> {
  const { type, version, path } = at
  const answer = await door({
    plugin: type,
    command: 'VERSION',
    path,
    input: JSON.stringify({ cniVersion: version }),
    environment: (folders) => pluginEnvironment('VERSION', folders, null),
  })
  const refuse = (why: string) => new PakError('network', `cni plugin \`${type}\`, VERSION: ${why}`)
  if (answer.exitCode !== 0) throw refuse(complaintOf(answer))
  const versions = objectIn(answer.stdout)?.['supportedVersions']
  if (!Array.isArray(versions)) throw refuse('its answer has no `supportedVersions`')
  return versions.flatMap((each) => (typeof each === 'string' ? each : []))
}
