import { PakError } from '../../errors.ts'
import type { StepOf } from '../../model/plan.ts'
import {
  applyFirewall,
  type FirewallNetwork,
  type Publication,
  removeFirewall,
} from '../../network/firewall.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { expected } from './batch.ts'
import type { LinuxHost } from './host.ts'
import { leaseAddresses } from './networks.ts'

/** Networks and published ports of the project, in one nft transaction. */
export async function applyFirewallSteps(
  host: LinuxHost,
  steps: readonly StepOf<'firewall.apply'>[],
  context: RunContext,
): Promise<readonly StepOutcome[]> {
  const outcomes: StepOutcome[] = []
  for (const step of steps) outcomes.push(await applyOne(host, step, context))
  return outcomes
}

async function applyOne(
  host: LinuxHost,
  { args }: StepOf<'firewall.apply'>,
  context: RunContext,
): Promise<StepOutcome> {
  const { table } = host.layout
  try {
    if (args.networks.length === 0)
      await removeFirewall(host.kernel, { table, project: context.project })
    else
      await applyFirewall(host.kernel, {
        table,
        project: context.project,
        dnsPort: host.dnsPort,
        networks: await knownNetworks(host, context.project, args.networks),
        published: await forwards(host, context.project, args.published),
      })
    return null
  } catch (error) {
    const outcome = expected(error)
    if (outcome === null) throw error
    return outcome
  }
}

async function knownNetworks(
  host: LinuxHost,
  projectName: string,
  names: readonly string[],
): Promise<readonly FirewallNetwork[]> {
  const { networks } = await host.records.of(projectName)
  return names.map((name) => {
    const record = networks.get(name)
    if (record === undefined) throw new PakError('conflict', `firewall: no network \`${name}\``)
    const { bridge, subnet, gateway } = record
    return { name, bridge, subnet, gateway, internal: record.spec.internal }
  })
}

/** The address behind each published port; leased here when the container is still to be made. */
async function forwards(
  host: LinuxHost,
  projectName: string,
  published: StepOf<'firewall.apply'>['args']['published'],
): Promise<readonly Publication[]> {
  const addresses = await leaseAddresses(
    host,
    projectName,
    published.map(({ container, network, ipv4 }) => ({
      container,
      networks: [{ network, ipv4, aliases: [] }],
    })),
  )
  return published.map(
    ({ container, network, hostIp, published: port, target, protocol }, index) => {
      const leased = addresses[index]
      if (leased instanceof PakError) throw leased
      const address = leased?.[network]
      if (address === undefined)
        throw new PakError('network', `publish port ${port}: \`${container}\` has no address`)
      return { container, address, hostIp, published: port, target, protocol }
    },
  )
}
