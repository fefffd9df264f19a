import type { LinuxHost } from './host.ts'

/** A container of any project, running or not, for each image that one was made of, by digest. */
export async function imageUsers(host: LinuxHost): Promise<ReadonlyMap<string, string>> {
  const names = await host.records.projectNames()
  const projects = await Promise.all(names.map((name) => host.records.of(name)))
  return new Map(
    projects.flatMap(({ containers }) =>
      [...containers.values()].flatMap(({ imageDigest, name }) =>
        imageDigest === null ? [] : [[imageDigest, name] as const],
      ),
    ),
  )
}
