import { PakError } from '../../errors.ts'
import type { Network } from '../../model/desired.ts'
import type { ObservedNetwork, ObservedState } from '../../model/observed.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

/** One object of `pak network inspect`. */
export interface NetworkFacts {
  readonly name: string
  readonly project: string
  /** As declared; what is not here is as pak picks it. */
  readonly spec: Network
  readonly bridge: string
  readonly subnet: string
  readonly gateway: string
  readonly subnet6: string | null
  readonly gateway6: string | null
  /** What of it is not as pak made it; `null`: nothing. */
  readonly drift: string | null
  readonly containers: Readonly<Record<string, Place>>
  /** Addresses of services with replicas behind them. */
  readonly services: Readonly<Record<string, string>>
}

interface Place {
  readonly ip: string
  readonly ip6: string | null
  readonly aliases: readonly string[]
}

/** `network inspect`: the project's networks, or only those that are named. */
export async function inspect({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly NetworkFacts[]> {
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const observed = await agent.inspect(project)
  const known = new Set(observed.networks.map(({ spec }) => spec.name))
  const missing = words.find((word) => !known.has(word))
  if (missing !== undefined)
    throw new PakError('not_found', `inspect network \`${missing}\`: no such network in ${project}`)
  return observed.networks
    .filter(({ spec }) => words.length === 0 || words.includes(spec.name))
    .map((network) => factsOf(observed, network))
}

function factsOf({ project, containers }: ObservedState, network: ObservedNetwork): NetworkFacts {
  const { spec, bridge, subnet, gateway, ipv6, services, drift } = network
  const places = containers.flatMap(({ name, addresses, addresses6, ...container }) => {
    const ip = addresses[spec.name]
    const attachment = container.spec.networks.find((one) => one.network === spec.name)
    if (ip === undefined) return []
    const ip6 = addresses6?.[spec.name] ?? null
    return [[name, { ip, ip6, aliases: attachment?.aliases ?? [] }] as const]
  })
  return {
    name: spec.name,
    project,
    spec,
    bridge,
    subnet,
    gateway,
    subnet6: ipv6?.subnet ?? null,
    gateway6: ipv6?.gateway ?? null,
    drift,
    containers: Object.fromEntries(places),
    services,
  }
}
