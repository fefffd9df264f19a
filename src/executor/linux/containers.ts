import { dirname, join } from 'node:path'
import { PakError } from '../../errors.ts'
import { staysAlive } from '../../kernel/process.ts'
import type { StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { forEach } from './batch.ts'
import { receivingCni, rejoinCni } from './cni.ts'
import type { LinuxHost } from './host.ts'
import { forgetLeases, forgetPlaces } from './joined.ts'
import { addresses6Of, leaseAddresses } from './leases.ts'
import { type ContainerRecord, containerRecord } from './records.ts'
import { reserveAbove, reserves } from './reservations.ts'
import { isHeld, release } from './runs.ts'

/** Identity and storage: a record, addresses, folders. */
export async function createContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.create'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const addresses = await leaseAddresses(
    host,
    context.project,
    steps.map(({ args }) => ({ container: args.container, networks: args.spec.networks })),
  )
  return forEach(steps, context, async ({ args }, index) => {
    const leased = addresses[index]
    if (leased instanceof PakError) throw leased
    const { containers } = await host.records.of(context.project)
    if (containers.has(args.container)) return
    const id = host.newId()
    const addresses6 = addresses6Of(host, context.project, {
      container: args.container,
      networks: args.spec.networks,
    })
    await Promise.all([
      host.kernel.makeFolder(join(host.layout.storage(id), 'upper'), 0o755),
      host.kernel.makeFolder(join(host.layout.storage(id), 'work'), 0o700),
    ])
    await host.records.putContainer(context.project, {
      name: args.container,
      id,
      service: args.service,
      replica: args.replica,
      spec: args.spec,
      dependsOn: args.dependsOn,
      imageDigest: args.imageDigest,
      createdAt: host.now().toISOString(),
      restartCount: 0,
      addresses: leased ?? {},
      ...(Object.keys(addresses6).length === 0 ? {} : { addresses6 }),
      run: null,
      exit: null,
    })
  })
}

/**
 * Storage that no record names: an agent was killed between making it and writing that down. Only before
 * anything is created. Where a record cannot be read, nothing is known to be stray.
 */
export async function removeStrayStorage(host: LinuxHost): Promise<void> {
  const ids = await host.kernel.list(dirname(host.layout.storage('any')))
  if (ids.length === 0) return
  try {
    for (const project of await host.records.projectNames()) await host.records.of(project)
  } catch (error) {
    if (error instanceof PakError) return
    throw error
  }
  const stray = ids.filter((id) => host.records.find(id) === null)
  await host.kernel.removeTree(...stray.map((id) => host.layout.storage(id)))
}

export async function removeContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.remove'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const { containers } = await host.records.of(context.project)
  const records = steps.flatMap(({ args }) => containers.get(args.container) ?? [])
  const held: ContainerRecord[] = []
  for (const record of records) if (await isHeld(host, record)) held.push(record)
  await release(host, held, context)
  await host.kernel.removeTree(...records.map(({ id }) => host.layout.storage(id)))
  const outcomes = await forEach(steps, context, async ({ args }) => {
    await host.records.drop(context.project, 'containers', args.container)
    if (args.forGood) await host.logs.remove(context.project, args.container)
  })
  const gone = steps.flatMap(({ args }) => (args.forGood ? args.container : []))
  await forgetLeases(host, context.project, gone)
  for (const { name, connected = [] } of records)
    await forgetPlaces(host, context.project, {
      container: name,
      networks: connected.map(({ network }) => network),
    })
  if (records.some(({ spec }) => reserves(spec.limits))) await reserveAbove(host, context.project)
  return outcomes
}

/** Ports that plugins publish are theirs to change: they begin anew, with the container as it runs. */
async function republish(host: LinuxHost, project: string, record: ContainerRecord): Promise<void> {
  const { run } = record
  const network = receivingCni(host, project, record.spec)
  if (run === null || network === null || !staysAlive(host.kernel, run)) return
  await rejoinCni(host, project, { record, pid: run.pid, networks: [network] })
}

/** Fields of class `live`: written into the running cgroup where they are limits, into the record always. */
export async function updateContainers(
  host: LinuxHost,
  steps: readonly StepOf<'container.update'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const records = await host.records.of(context.project)
  const outcomes = await forEach(steps, context, async ({ args }) => {
    const record = containerRecord(records, 'update', args.container)
    if (args.fields.includes('limits') && record.run !== null)
      await host.cgroups.update(host.layout.cgroup(context.project, record.name), args.spec.limits)
    const now = { ...record, spec: args.spec, dependsOn: args.dependsOn }
    await host.records.putContainer(context.project, now)
    if (args.fields.includes('ports')) await republish(host, context.project, now)
  })
  if (steps.some(({ args }) => args.fields.includes('limits')))
    await reserveAbove(host, context.project)
  return outcomes
}
