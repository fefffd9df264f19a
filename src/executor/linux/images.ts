import type { LinuxHost } from './host.ts'

/** Digests of the images that containers of any project were made from, running or not. */
export async function imagesInUse(host: LinuxHost): Promise<ReadonlySet<string>> {
  const names = await host.records.projectNames()
  const projects = await Promise.all(names.map((name) => host.records.of(name)))
  return new Set(
    projects.flatMap(({ containers }) =>
      [...containers.values()].flatMap(({ imageDigest }) => imageDigest ?? []),
    ),
  )
}
