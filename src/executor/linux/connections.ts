import { PakError } from '../../errors.ts'
import { staysAlive } from '../../kernel/process.ts'
import { reconnected } from '../../model/attachments.ts'
import type { Attachment } from '../../model/desired.ts'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { unwire, wireTo } from './attach.ts'
import { forEach } from './batch.ts'
import { freePeer } from './ends.ts'
import type { LinuxHost } from './host.ts'
import { forgetPlaces, networksFor } from './joined.ts'
import { addresses6Of, leaseAddresses } from './leases.ts'
import { retellNames } from './name-files.ts'
import { admitToPolicies } from './policies.ts'
import { type ContainerRecord, containerRecord } from './records.ts'
import { openResolver } from './resolvers.ts'

/** Put containers on networks: written down first, so that what an agent leaves half done is drift. */
export function connectContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.connect'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const { project } = context
  return forEach(steps, { ...context, concurrency: 1 }, async ({ args }) => {
    const before = recordOf(host, project, { verb: 'connect', container: args.container })
    const { network } = args.attachment
    if (Object.hasOwn(before.addresses, network)) return
    try {
      const record = await withAddress(host, project, { before, attachment: args.attachment })
      await host.records.putContainer(project, record)
      await admitToPolicies(host, project)
      const { run } = record
      if (run !== null && staysAlive(host.kernel, run))
        await wireTo(host, { project, network }, { record, pid: run.pid })
      await retellNames(host, project, { before, after: record })
      if (run !== null && staysAlive(host.kernel, run))
        await openResolver(host, project, { record, pid: run.pid })
    } catch (error) {
      await host.records.putContainer(project, said(before))
      await forgetPlaces(host, project, { container: before.name, networks: [network] })
      throw error
    }
  })
}

export function disconnectContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.disconnect'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const { project } = context
  return forEach(steps, { ...context, concurrency: 1 }, async ({ args }) => {
    const { container, network } = args
    const before = recordOf(host, project, { verb: 'disconnect', container })
    if (!Object.hasOwn(before.addresses, network)) return
    const record = withoutAddress(before, network)
    await host.records.putContainer(project, record)
    const { run } = record
    try {
      if (run !== null && staysAlive(host.kernel, run))
        await unwire(host, project, { before, record, pid: run.pid, network })
      await retellNames(host, project, { before, after: record })
      if (run !== null && staysAlive(host.kernel, run))
        await openResolver(host, project, { record, pid: run.pid })
    } catch (error) {
      await host.records.putContainer(project, said(before))
      throw error
    }
    await forgetPlaces(host, project, { container, networks: [network] })
  })
}

function recordOf(
  host: LinuxHost,
  project: string,
  { verb, container }: { readonly verb: string; readonly container: string },
): ContainerRecord {
  const records = host.records.peek(project)
  if (records === null) throw new PakError('conflict', `${verb} \`${container}\`: it is gone`)
  return containerRecord(records, verb, container)
}

async function withAddress(
  host: LinuxHost,
  project: string,
  { before, attachment }: { readonly before: ContainerRecord; readonly attachment: Attachment },
): Promise<ContainerRecord> {
  const request = { container: before.name, networks: [attachment] }
  const [leased] = await leaseAddresses(host, project, [request])
  if (leased instanceof PakError) throw leased
  const { connected, disconnected } = reconnected(before, { connect: attachment })
  const interfaceName = freePeer(before, networksFor(host, project))
  return {
    ...before,
    disconnected,
    connected: connected.map((one) =>
      one === attachment ? { ...one, interfaceName: one.interfaceName ?? interfaceName } : one,
    ),
    addresses: { ...before.addresses, ...leased },
    addresses6: { ...before.addresses6, ...addresses6Of(host, project, request) },
  }
}

const withoutAddress = (before: ContainerRecord, gone: string): ContainerRecord => ({
  ...before,
  ...reconnected(before, { disconnect: gone }),
  addresses: without(before.addresses, gone),
  addresses6: without(before.addresses6 ?? {}, gone),
})

const without = (addresses: ContainerRecord['addresses'], gone: string) =>
  Object.fromEntries(Object.entries(addresses).filter(([network]) => network !== gone))

/** A record forgets nothing that it has once said, but can say something else. */
const said = (before: ContainerRecord): ContainerRecord => ({
  connected: [],
  disconnected: [],
  addresses6: {},
  ...before,
})
