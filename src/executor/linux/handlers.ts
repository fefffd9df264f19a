import type { Op, StepOf } from '../../model/plan.ts'
import type { RunContext, StepOutcome } from '../executor.ts'
import { connectContainers, disconnectContainers } from './connections.ts'
import { createContainers, removeContainers, updateContainers } from './containers.ts'
import { applyFirewallSteps } from './firewall.ts'
import type { LinuxHost } from './host.ts'
import { createNetworks, removeNetworks } from './networks.ts'
import { pauseContainers, unpauseContainers } from './pause.ts'
import { ensureProjects, removeProjects } from './projects.ts'
import { repairContainers } from './repair.ts'
import { startContainers } from './start.ts'
import { killContainers, stopContainers } from './stop.ts'
import { createVolumes, removeVolumes } from './volumes.ts'
import { waitForServices } from './wait.ts'

type Handler<O extends Op> = (
  host: LinuxHost,
  steps: readonly StepOf<O>[],
  context: RunContext,
) => Promise<readonly StepOutcome[]>

/** Total: an op without a handler does not compile. */
export const handlers: { readonly [O in Op]: Handler<O> } = {
  'project.create': ensureProjects,
  'project.update': ensureProjects,
  'project.remove': removeProjects,
  'network.create': createNetworks,
  'network.remove': removeNetworks,
  'volume.create': createVolumes,
  'volume.remove': removeVolumes,
  'container.create': createContainers,
  'container.start': startContainers,
  'container.stop': stopContainers,
  'container.remove': removeContainers,
  'container.update': updateContainers,
  'container.repair': repairContainers,
  'container.connect': connectContainers,
  'container.disconnect': disconnectContainers,
  'container.kill': killContainers,
  'container.pause': pauseContainers,
  'container.unpause': unpauseContainers,
  'firewall.apply': applyFirewallSteps,
  'firewall.admit': applyFirewallSteps,
  'service.wait': waitForServices,
}
