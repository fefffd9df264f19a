import { apply } from '../../src/executor/apply.ts'
import { type MemoryExecutor, memoryExecutor } from '../../src/executor/memory/memory.ts'
import type {
  ContainerSpec,
  Dependency,
  DesiredState,
  Network,
  Service,
  Volume,
} from '../../src/model/desired.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import type { Plan } from '../../src/model/plan.ts'
import { imageReferences } from '../../src/plan/images.ts'
import type { PlanOptions } from '../../src/plan/options.ts'
import { plan } from '../../src/plan/plan.ts'
import { reasonText } from '../../src/plan/reason.ts'
import { PLAIN, plainService } from '../support/spec.ts'

export const OPTIONS: PlanOptions = {
  services: null,
  noDeps: false,
  forceRecreate: false,
  removeOrphans: false,
  removeVolumes: false,
  cause: 'user',
  timeoutMs: null,
  now: '2026-01-01T00:00:00.000Z',
  waitTimeoutMs: 60_000,
}

export const spec = (over: Partial<ContainerSpec> = {}): ContainerSpec => ({
  ...PLAIN,
  source: { kind: 'rootfs', path: '/' },
  command: ['sleep', '1000'],
  networkMode: { kind: 'bridge' },
  networks: [{ network: 'default', aliases: [], ipv4: null }],
  readOnly: true,
  ...over,
})

export const service = (
  name: string,
  container: Partial<ContainerSpec> = {},
  over: Partial<Service> = {},
): Service => plainService(name, spec(container), over)

export const on = (name: string, over: Partial<Dependency> = {}): Dependency => ({
  service: name,
  condition: 'service_started',
  required: true,
  restart: false,
  ...over,
})

export const network = (name: string, over: Partial<Network> = {}): Network => ({
  name,
  driver: 'bridge',
  internal: false,
  subnet: null,
  gateway: null,
  labels: {},
  ...over,
})

export const volume = (name: string): Volume => ({ name, labels: {} })

export const mounted = (name: string): ContainerSpec['mounts'] => [
  { kind: 'volume', volume: name, target: '/data', readOnly: false, noCopy: false },
]

export const port = (published: number): ContainerSpec['ports'] => [
  { hostIp: '0.0.0.0', published, target: 80, protocol: 'tcp' },
]

export const HEALTH: ContainerSpec['healthcheck'] = {
  test: { kind: 'exec', command: ['true'] },
  intervalMs: 30_000,
  timeoutMs: 30_000,
  startPeriodMs: 0,
  startIntervalMs: 5000,
  retries: 3,
  onUnhealthy: 'none',
}

export function desired(
  services: readonly Service[],
  over: Partial<DesiredState> = {},
): DesiredState {
  return {
    project: 'shop',
    limits: NO_LIMITS,
    services,
    networks: [network('default')],
    volumes: [],
    ...over,
  }
}

/** A host in memory, with what a test does to it in one word each. */
export function world(options: Parameters<typeof memoryExecutor>[0] = {}) {
  const host: MemoryExecutor = memoryExecutor(options)
  const planOf = async (to: DesiredState, over: Partial<PlanOptions> = {}) => {
    const observed = await host.inspect({
      project: to.project,
      images: async () => imageReferences(to),
    })
    return plan(to, observed, { ...OPTIONS, ...over })
  }
  const run = async (planned: Plan) =>
    apply(planned, host, {
      signal: new AbortController().signal,
      concurrency: 4,
      onEvent: () => {},
      clock: () => 0,
    })
  const up = async (to: DesiredState, over: Partial<PlanOptions> = {}) => {
    const result = await run(await planOf(to, over))
    const [failure] = result.failed
    if (failure !== undefined) throw failure.error
  }
  return { host, planOf, run, up }
}

/** A plan as a reader of a test wants it: one line a step, in order, with its reason and needs. */
export function text(planned: Plan): string {
  return planned.steps
    .map(({ id, because, needs }) => {
      const after = needs.length === 0 ? '' : ` < ${needs.join(' ')}`
      return `${id} (${reasonText(because)})${after}`
    })
    .join('\n')
}

/** The same without the needs. */
export const brief = (planned: Plan): string =>
  planned.steps.map(({ id, because }) => `${id} (${reasonText(because)})`).join('\n')

/** A project of one service, and the same with that service's container changed. */
export const one = (container: Partial<ContainerSpec> = {}, over: Partial<Service> = {}) =>
  desired([service('web', container, over)])

export const lines = (...expected: readonly string[]): string => expected.join('\n')
