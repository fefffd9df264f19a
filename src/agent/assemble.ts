import { removeStrayStorage } from '../executor/linux/containers.ts'
import { copyIn, copyOut } from '../executor/linux/copy.ts'
import { imageUsers } from '../executor/linux/images.ts'
import { layoutOf } from '../executor/linux/layout.ts'
import { linuxExecutor, linuxHost, prepareHost, releaseHost } from '../executor/linux/linux.ts'
import { keepLogs } from '../executor/linux/logs.ts'
import { endOneOff, launchOneOff } from '../executor/linux/one-off.ts'
import { probe } from '../executor/linux/probe.ts'
import { serveHostNames } from '../executor/linux/serve-names.ts'
import { settle } from '../executor/linux/settle.ts'
import { createVolumeByHand, listVolumes, removeVolumeByUser } from '../executor/linux/volumes.ts'
import { publicKey } from '../executor/linux/wireguard.ts'
import { hostKernel } from '../kernel/host.ts'
import type { AgentContext, AgentParts } from './parts.ts'

/** The agent of this machine: the one place where its parts are chosen and joined. */
export async function assemble(context: AgentContext): Promise<AgentParts> {
  const kernel = hostKernel
  const layout = layoutOf(context)
  // Before anything looks at cgroups: what it sees depends on the mounts made here.
  await prepareHost(kernel, layout)
  const host = await linuxHost({ ...context, kernel })
  // In time for the first plan, while the command still reads its file.
  host.others.lookAgain()
  await removeStrayStorage(host)
  await keepLogs(host)
  return {
    executor: linuxExecutor(host),
    settle: (project, verdict) => settle(host, project, verdict),
    probe: (request) => probe(host, request),
    oneOffs: {
      launch: (request) => launchOneOff(host, request),
      end: (request) => endOneOff(host, request),
    },
    files: {
      read: (at, to) => copyOut(host, at, to),
      write: (at, from) => copyIn(host, at, from),
    },
    volumes: {
      list: () => listVolumes(host),
      create: (volume) => createVolumeByHand(host, volume),
      remove: (place) => removeVolumeByUser(host, place),
    },
    images: {
      ...host.images,
      remove: async (reference) => host.images.remove(reference, await imageUsers(host)),
    },
    releaseHost: () => releaseHost(kernel, layout),
    publicKey: () => publicKey(host),
    startDns: (sockets, signal) => serveHostNames(host, sockets, signal),
  }
}
