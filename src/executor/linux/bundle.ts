import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import type { ImageConfig } from '../../model/image.ts'
import { placeOf } from '../../model/shared.ts'
import { findInit } from '../../runtime/init.ts'
import type { OciSpec } from '../../runtime/oci-types.ts'
import { ociSpec } from '../../runtime/spec.ts'
import { resolveUser } from '../../runtime/user.ts'
import { securityFragment } from '../../security/fragment.ts'
import { resolveMounts } from '../../storage/binds.ts'
import type { LinuxHost } from './host.ts'
import { lenderOf, type Mode, writeNameFiles } from './name-files.ts'
import type { ContainerRecord } from './records.ts'
import { currentRun } from './runs.ts'

/** Everything that the OCI runtime reads: config.json and the files that are bound into the container. */
export async function writeBundle(
  host: LinuxHost,
  projectName: string,
  record: ContainerRecord,
  amend: (config: OciSpec) => object = (config) => config,
): Promise<void> {
  const bundle = host.layout.bundle(record.id)
  const rootfs = host.layout.rootfs(record.id)
  const image = await imageConfig(host, record)
  const [security, user, mounts, namespaces, init] = await Promise.all([
    securityFragment(record.spec, {
      kernel: host.kernel,
      runtime: host.oci.name,
      host: host.security,
    }),
    resolveUser(host.kernel, {
      rootfs,
      user: record.spec.user ?? image?.user ?? null,
      groupAdd: record.spec.groupAdd,
    }),
    resolveMounts(host.kernel, {
      spec: record.spec,
      image,
      rootfs,
      volumePath: (volume: string) => {
        const { owner, name } = placeOf(projectName, volume)
        return host.layout.volume(owner, name)
      },
      anonymousPath: (index) => join(host.layout.storage(record.id), 'volumes', String(index)),
    }),
    joinedNamespaces(host, projectName, record),
    record.spec.init ? findInit(host.kernel) : null,
  ])
  const files = await writeNameFiles(host, projectName, record)
  const config = ociSpec({
    spec: record.spec,
    image,
    id: record.id,
    name: record.name,
    cgroupsPath: host.layout.cgroup(projectName, record.name),
    cgroups: host.cgroups,
    rootfs,
    user,
    mounts: [...mounts, ...files],
    namespaces,
    security,
    init,
    ipv6: Object.keys(record.addresses6 ?? {}).length > 0,
    annotations: { 'pak.project': projectName, 'pak.service': record.service },
  })
  await host.kernel.replaceFile(join(bundle, 'config.json'), JSON.stringify(amend(config)))
}

export async function imageConfig(
  host: LinuxHost,
  record: ContainerRecord,
): Promise<ImageConfig | null> {
  const { source } = record.spec
  if (source.kind === 'rootfs') return null
  return (await host.images.facts(record.imageDigest ?? source.reference)).config
}

/** Paths of namespaces that are another container's; the names follow the runtime-spec. */
async function joinedNamespaces(
  host: LinuxHost,
  projectName: string,
  { spec }: ContainerRecord,
): Promise<{ network: string | null; pid: string | null; ipc: string | null }> {
  const pathOf = async (mode: Mode, type: string) => {
    const lender = await lenderOf(host, projectName, mode)
    return lender === null ? null : `/proc/${await pidOf(host, lender)}/ns/${type}`
  }
  const [network, pid, ipc] = await Promise.all([
    pathOf(spec.networkMode, 'net'),
    pathOf(spec.pidMode, 'pid'),
    pathOf(spec.ipcMode, 'ipc'),
  ])
  return { network, pid, ipc }
}

async function pidOf(host: LinuxHost, lender: ContainerRecord): Promise<number> {
  const run = await currentRun(host, lender)
  if (run !== null) return run.pid
  throw new PakError('conflict', `share namespaces of \`${lender.name}\`: it does not run`)
}
