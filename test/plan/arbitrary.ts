import fc from 'fast-check'
import type { DesiredState, Service, UpdatePolicy } from '../../src/model/desired.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import { desired, HEALTH, mounted, network, on, service, volume } from './build.ts'

const NAMES = ['api', 'cache', 'db', 'jobs', 'seed', 'web'] as const
const NETWORKS = ['back', 'default', 'front'] as const
const VOLUMES = ['data', 'logs'] as const

/** Any project with up to six services: dependencies without cycles, networks, volumes, ports, replicas. */
export function anyProject(project = 'shop', firstPort = 8000): fc.Arbitrary<DesiredState> {
  return fc
    .record({
      // The order decides who may depend on whom: edges only go to what stands before.
      names: fc.shuffledSubarray([...NAMES], { minLength: 1 }),
      seeds: fc.array(anySeed(), { minLength: NAMES.length, maxLength: NAMES.length }),
      subnets: fc.subarray(['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16'], {
        minLength: 3,
        maxLength: 3,
      }),
      internal: fc.subarray([...NETWORKS]),
      fixed: fc.subarray([...NETWORKS]),
      networks: fc.subarray([...NETWORKS]),
      lans: fc.subarray([...NETWORKS]),
      memoryBytes: fc.constantFrom(null, 2 ** 30),
    })
    .map(({ names, seeds, subnets, internal, fixed, networks, lans, memoryBytes }) => {
      const services = names.map((name, index) =>
        serviceFrom(name, seeds[index] ?? PLAIN, {
          before: names.slice(0, index),
          firstPort: firstPort + index * 10,
        }),
      )
      const used = new Set([
        ...networks,
        ...services.flatMap((s) => s.container.networks.map((a) => a.network)),
      ])
      return desired(
        services.sort((a, b) => (a.name < b.name ? -1 : 1)),
        {
          project,
          limits: { ...NO_LIMITS, memoryBytes },
          networks: NETWORKS.filter((name) => used.has(name)).map((name) =>
            network(name, {
              internal: internal.includes(name),
              ...(lans.includes(name) ? LAN : {}),
              subnet:
                fixed.includes(name) && project === 'shop'
                  ? (subnets[NETWORKS.indexOf(name)] ?? null)
                  : null,
            }),
          ),
          volumes: VOLUMES.map(volume),
        },
      )
    })
}

const LAN = { driver: 'macvlan', lan: { parent: 'eth1', mode: 'bridge' } } as const
/** A project, and a new version of some of its services, all of which are updated in batches. */
export const anyUpdate = (): fc.Arbitrary<Readonly<Record<'from' | 'to', DesiredState>>> =>
  fc
    .record({
      project: anyProject(),
      changed: fc.array(fc.boolean(), { minLength: NAMES.length, maxLength: NAMES.length }),
      parallelism: fc.integer({ min: 0, max: 2 }),
    })
    .map(({ project, changed, parallelism }) => {
      const from = {
        ...project,
        services: project.services.map((each) => ({
          ...each,
          update: policyFrom(beside(each) ? 'start-first' : 'stop-first', parallelism),
        })),
      }
      const services = from.services.map((each, index) =>
        changed[index] ? { ...each, container: { ...each.container, hostname: 'new' } } : each,
      )
      return { from, to: { ...from, services } }
    })

const beside = ({ container }: Service): boolean => container.networkMode.kind === 'bridge'

type Seed = ReturnType<typeof anySeed> extends fc.Arbitrary<infer T> ? T : never

const anySeed = () =>
  fc.record({
    replicas: fc.integer({ min: 1, max: 3 }),
    named: fc.boolean(),
    depends: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
    restarts: fc.boolean(),
    condition: fc.constantFrom(
      'service_started',
      'service_healthy',
      'service_completed_successfully',
    ),
    shares: fc.boolean(),
    networks: fc.subarray([...NETWORKS]),
    volume: fc.constantFrom(null, ...VOLUMES),
    published: fc.boolean(),
    greeting: fc.constantFrom('hi', 'hello'),
    label: fc.constantFrom('a', 'b'),
    memoryBytes: fc.constantFrom(null, 2 ** 26, 2 ** 27),
    checked: fc.boolean(),
    policy: fc.constantFrom('no', 'always', 'on-failure', 'unless-stopped'),
    image: fc.constantFrom(null, 'one:1', 'one:2', 'two:1'),
    order: fc.constantFrom(null, null, 'stop-first', 'start-first'),
    parallelism: fc.integer({ min: 0, max: 2 }),
  })

const PLAIN: Seed = {
  replicas: 1,
  named: false,
  depends: [],
  restarts: false,
  condition: 'service_started',
  shares: false,
  networks: [],
  volume: null,
  published: false,
  greeting: 'hi',
  label: 'a',
  memoryBytes: null,
  checked: false,
  policy: 'no',
  image: null,
  order: null,
  parallelism: 1,
}

function serviceFrom(
  name: string,
  seed: Seed,
  at: { readonly before: readonly string[]; readonly firstPort: number },
): Service {
  const lender = seed.shares ? at.before[0] : undefined
  const replicas = seed.named || name === 'seed' ? 1 : seed.replicas
  const dependencies = at.before.filter((_, index) => seed.depends[index])
  return service(
    name,
    {
      source:
        seed.image === null
          ? { kind: 'rootfs', path: '/' }
          : { kind: 'image', reference: seed.image },
      environment: { GREETING: seed.greeting, OTHER: 'x' },
      labels: { tier: seed.label },
      limits: { ...NO_LIMITS, memoryBytes: seed.memoryBytes },
      networkMode:
        lender === undefined || lender === 'seed'
          ? { kind: 'bridge' }
          : { kind: 'service', service: lender },
      networks:
        lender === undefined || lender === 'seed'
          ? seed.networks.map((each) => ({ network: each, aliases: [], ipv4: null }))
          : [],
      mounts: seed.volume === null ? [] : mounted(seed.volume),
      ports:
        seed.published && seed.networks.length > 0 && (lender === undefined || lender === 'seed')
          ? [{ hostIp: '0.0.0.0', published: at.firstPort, target: 80, protocol: 'tcp' }]
          : [],
      restart: { name: name === 'seed' ? 'no' : seed.policy, maxRetries: null },
      healthcheck: seed.checked ? HEALTH : null,
    },
    {
      replicas,
      containerName: seed.named ? `my-${name}` : null,
      // What ends by itself shows nothing by running, and what lives with another cannot have two.
      ...(seed.order === null || name === 'seed' || (seed.shares && seed.order === 'start-first')
        ? {}
        : { update: policyFrom(seed.order, seed.parallelism) }),
      dependsOn: dependencies.map((each) =>
        on(each, {
          // Only what ends can be waited for to complete; the others run.
          condition:
            each === 'seed'
              ? 'service_completed_successfully'
              : seed.condition === 'service_completed_successfully'
                ? 'service_started'
                : seed.condition,
          restart: seed.restarts,
        }),
      ),
    },
  )
}

const policyFrom = (order: UpdatePolicy['order'], parallelism: number): UpdatePolicy => ({
  order,
  parallelism,
  delayMs: 0,
  monitorMs: 0,
  onFailure: 'pause',
  maxFailureRatio: 0,
})

/** The same state with every list and every object's keys in another order. */
export function shuffled(state: DesiredState, by: number): DesiredState {
  const turn = <T>(list: readonly T[]): readonly T[] => {
    const at = list.length === 0 ? 0 : by % list.length
    return [...list.slice(at), ...list.slice(0, at)].reverse()
  }
  const keys = <T extends object>(value: T): T => {
    const copy: T = JSON.parse(
      JSON.stringify(value, (_, inner: unknown) =>
        typeof inner === 'object' && inner !== null && !Array.isArray(inner)
          ? Object.fromEntries(turn(Object.entries(inner)))
          : inner,
      ),
    )
    return copy
  }
  return keys({
    ...state,
    services: turn(state.services).map((each) => ({ ...each, dependsOn: turn(each.dependsOn) })),
    networks: turn(state.networks),
    volumes: turn(state.volumes),
  })
}
