import { projectAddress, replicaAddress } from '../model/address.ts'
import { type Connection, reconnected } from '../model/attachments.ts'
import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import type { Plan, Reason } from '../model/plan.ts'
import { canonical } from './canonical.ts'
import { firewallWorks } from './firewall.ts'
import { sequence } from './sequence.ts'
import { id, step } from './step.ts'
import { summarize } from './summary.ts'
import { asItIs, byPlace, type Unit } from './unit.ts'

/** One container put on a network, or taken off: the firewall first, so that nobody is sent astray. */
export function planConnection(
  observed: ObservedState,
  container: string,
  wanted: Connection,
): Plan {
  const there = observed.containers.find(({ name }) => name === container)
  const units = [...observed.containers].sort(byPlace).map((one): Unit => {
    const after = one === there ? { ...one, ...reconnected(one, wanted) } : one
    const { service, replica } = one
    return { service, replica, observed: after, wanted: asItIs(after), managed: true, tasks: {} }
  })
  const { apply } = firewallWorks({ observed, networks: [], units, services: null })
  const plan = sequence({
    project: observed.project,
    record: null,
    networks: [],
    volumes: [],
    units,
    firewall: { apply, admit: null },
    stop: { graceMs: null, signal: null, byUser: true },
    waitTimeoutMs: null,
    warnings: [],
  })
  if (there === undefined) return plan
  const steps = canonical([
    ...plan.steps,
    ownStep(there, wanted, { project: observed.project, apply }),
  ])
  return { ...plan, steps, summary: summarize(steps) }
}

function ownStep(
  { name: container, service, replica }: ObservedContainer,
  wanted: Connection,
  { project, apply }: { readonly project: string; readonly apply: object | null },
) {
  const by = 'connect' in wanted ? 'network connect' : 'network disconnect'
  const because: Reason = { kind: 'requested', by }
  const after = apply === null ? [] : [id('firewall.apply', projectAddress(project))]
  const facts = { on: replicaAddress(service, replica), because, after }
  return 'connect' in wanted
    ? step('container.connect', { container, attachment: wanted.connect }, facts)
    : step('container.disconnect', { container, network: wanted.disconnect }, facts)
}
