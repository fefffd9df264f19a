/**
 * What networks cost: containers on five networks, each with a published port, and the same without a
 * network, in turns, beside Docker Compose where that is running. It asserts nothing.
 *
 *   node --import tsx test/bench/networks.ts [containers] [rounds]
 */
import { setTimeout as rest } from 'node:timers/promises'
import { provideBuild } from '../support/build.ts'
import { composePeer } from './compose.ts'
import { median } from './measure.ts'
import { type ManifestText, pakPeer } from './pak.ts'
import type { Peer, Round } from './peer.ts'

const count = Number(process.argv[2] ?? 50)
const rounds = Number(process.argv[3] ?? 5)
const NETWORKS = 5
const FIRST_PORT = 21_000
const REST_MS = 3_000

const file =
  (networks: boolean): ManifestText =>
  (key, many) => {
    const lines = Array.from({ length: many }, (_, index) => {
      const place = networks
        ? `networks: [n${index % NETWORKS}], ports: ["${FIRST_PORT + index}:80"]`
        : 'network_mode: none'
      return `  s${index}: {image: "bb:latest", command: [sleep, "100000"], stop_grace_period: 0s, mem_limit: 64m, cpus: 0.25, ${place}}`
    })
    const names = Array.from({ length: networks ? NETWORKS : 0 }, (_, index) => `n${index}: {}`)
    return `name: bench\n${key}:\n${lines.join('\n')}\nnetworks: {${names.join(', ')}}\n`
  }

if (!provideBuild(process.cwd())) throw new Error('npm run build')
await using pak = await pakPeer(file(true))
await using pakBare = await pakPeer(file(false))
const [found, foundBare] = [await composePeer(file(true)), await composePeer(file(false))]
if (typeof found === 'string') console.log(`without Docker Compose: ${found}`)
await using compose = typeof found === 'string' ? null : found
await using composeBare = typeof foundBare === 'string' ? null : foundBare
const pairs = [[pak, pakBare] as const]
if (compose !== null && composeBare !== null) pairs.push([compose, composeBare])

const taken = new Map<Peer, Round[]>(pairs.flat().map((peer) => [peer, []]))
for (let round = 0; round < rounds; round += 1)
  for (const [peer, results] of taken) {
    await rest(REST_MS)
    results.push(await peer.round(count))
  }

for (const [networked, bare] of pairs) {
  for (const [what, pick] of [
    ['up', (round: Round) => round.upMs],
    ['down', (round: Round) => round.downMs],
  ] as const) {
    const [withThem, without] = [networked, bare].map((peer) =>
      median((taken.get(peer) ?? []).map(pick)),
    )
    const each = ((withThem ?? 0) - (without ?? 0)) / count
    console.log(
      `${networked.name}: ${what} of ${count} with ${NETWORKS} networks and ${count} ports ${ms(withThem)}, without ${ms(without)}: ${each.toFixed(2)} ms a container`,
    )
  }
}

function ms(value: number | undefined): string {
  return `${((value ?? 0) / 1000).toFixed(2)} s`
}
