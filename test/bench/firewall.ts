/**
 * A thousand containers on one bridge: planned in memory, then firewalled in a network namespace of its
 * own. It asserts nothing.
 *
 *   node --import tsx test/bench/firewall.ts [containers]
 */
import { apply } from '../../src/executor/apply.ts'
import { memoryExecutor } from '../../src/executor/memory/memory.ts'
import { nftApply } from '../../src/kernel/nft.ts'
import type { DesiredState } from '../../src/model/desired.ts'
import { bridgeName, createBridges } from '../../src/network/bridge.ts'
import { type FirewallRequest, firewallTransaction } from '../../src/network/firewall.ts'
import { NO_TABLE, observeFirewall } from '../../src/network/firewall-observe.ts'
import { projectFirewall } from '../../src/network/firewall-project.ts'
import { plan } from '../../src/plan/plan.ts'
import { machine } from '../network/lab.ts'
import { desired, network, OPTIONS, port, service } from '../plan/build.ts'
import { median } from './measure.ts'

const count = Number(process.argv[2] ?? 1_000)
const ROUNDS = 7
const SUBNET = '10.213.0.0/16'

/** Half of them services of their own with a published port each, half replicas of one service. */
const STATE: DesiredState = desired(
  [
    ...Array.from({ length: count / 2 }, (_, index) =>
      service(`s${index}`, { ports: port(10_000 + index) }),
    ),
    service('many', { ports: port(9_000) }, { replicas: count / 2 }),
  ],
  { networks: [network('default', { subnet: SUBNET })] },
)

const host = memoryExecutor()
const observed = await host.inspect({ project: 'shop' })
const first = timed(() => plan(STATE, observed, OPTIONS))
await apply(first.value, host, {
  signal: new AbortController().signal,
  concurrency: 8,
  onEvent: () => {},
  clock: () => 0,
})
const now = await host.inspect({ project: 'shop' })
const again = timed(() => plan(STATE, now, OPTIONS))
const died = { ...now, containers: now.containers.filter(({ name }) => name !== 'shop-many-7') }
const lost = timed(() => plan(STATE, died, OPTIONS))
show(`plan ${count} containers from nothing`, first.times)
show('plan when nothing is to be done', again.times)
show('plan when one replica is gone', lost.times)

const request = requestOf(now)
const written = timed(() => firewallTransaction({ ...request, previous: NO_TABLE }))
show('write the transaction', written.times)
await using kernel = await machine()
await createBridges(kernel.kernel, [
  { name: bridgeName('bench'), gateway: '10.213.0.1', prefix: 16 },
])
const script = written.value
const other = firewallTransaction({ ...request, published: [], services: [], previous: NO_TABLE })
const [whole, empty] = [[] as number[], [] as number[]]
for (let round = 0; round < ROUNDS; round += 1) {
  empty.push(await elapsed(() => nftApply(kernel.kernel, other)))
  whole.push(await elapsed(() => nftApply(kernel.kernel, script)))
}
show('nft: the table without a container', empty)
show(`nft: the table with ${count} containers`, whole)
const facts = await observeFirewall(kernel.kernel, request.table, { lifts: true })
const looks: number[] = []
for (let round = 0; round < ROUNDS; round += 1)
  looks.push(
    await elapsed(async () =>
      projectFirewall(
        await observeFirewall(kernel.kernel, request.table, { lifts: true }),
        request,
      ),
    ),
  )
show('read it back and compare', looks)
const [service0] = request.services
const targets = service0?.targets.slice(1) ?? []
const change = timed(() =>
  firewallTransaction({
    ...request,
    services: service0 === undefined ? [] : [{ ...service0, targets }],
    previous: facts,
  }),
)
show('write the transaction when one replica is gone', change.times)
const one = await elapsed(() => nftApply(kernel.kernel, change.value))
show('nft: one replica is gone', [one])

/** The addresses that the executor would lease, one after the other. */
function requestOf(state: typeof now): FirewallRequest {
  const names = state.containers.map(({ name }) => name)
  const address = (name: string | null) => {
    const at = names.indexOf(name ?? '') + 2
    return `10.213.${at >> 8}.${at & 255}`
  }
  const bridge = bridgeName('bench')
  return {
    table: 'pak_b',
    project: 'shop',
    dnsPort: 5353,
    networks: [{ name: 'default', bridge, subnet: SUBNET, gateway: '10.213.0.1', internal: false }],
    published: state.firewall.published.map((each) => ({
      ...each,
      container: each.container ?? '',
      address: address(each.container),
    })),
    services: state.firewall.services.map(({ affinity, containers }) => ({
      bridge,
      address: '10.213.255.1',
      affinity,
      targets: containers.map(address),
    })),
    lifts: true,
    others: [],
  }
}

function timed<T>(work: () => T): { readonly value: T; readonly times: readonly number[] } {
  const times = Array.from({ length: ROUNDS }, () => {
    const from = performance.now()
    work()
    return performance.now() - from
  })
  return { value: work(), times }
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

function show(what: string, times: readonly number[]): void {
  console.log(
    `${median([...times])
      .toFixed(1)
      .padStart(8)} ms  ${what}`,
  )
}
