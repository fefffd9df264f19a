/**
 * What pak costs, beside Docker Compose where that is running and beside the bare OCI runtime. The peers take
 * turns within each round, so that a slow minute of the machine hits all of them. It asserts nothing.
 *
 *   npm run bench -- [--counts 1,10,50] [--rounds 5] [--json FILE]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as rest } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { provideBuild } from '../support/build.ts'
import { provideHost } from '../support/host.ts'
import { composePeer } from './compose.ts'
import { floorPeer } from './floor.ts'
import { median, memoryOf, time } from './measure.ts'
import { PAK, pakPeer } from './pak.ts'
import type { Peer, Round } from './peer.ts'
import { type Figures, table } from './table.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const { values } = parseArgs({
  options: {
    counts: { type: 'string', default: '1,10,50' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'string', default: join(PROJECT, '.cache', 'bench.json') },
  },
})
const rounds = Number(values.rounds)
const REST_MS = 3_000

const lacking = provideHost()
if (!provideBuild(PROJECT) || lacking !== null) throw new Error(lacking ?? 'npm run build')
if (memoryOf(({ commandLine }) => commandLine.startsWith('pak agent')).processes > 0)
  throw new Error('another pak agent runs here and would disturb the figures')

const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, Linux ${release()}, Node ${process.version}`
const starts = measureStarts()
const figures = await measurePeers(values.counts.split(',').map(Number))
console.log(table({ machine, rounds, starts, figures }))
mkdirSync(dirname(values.json), { recursive: true })
writeFileSync(values.json, `${JSON.stringify({ machine, rounds, starts, figures }, null, 2)}\n`)
console.log(`written to ${values.json}`)

/** How long a command takes to begin: against Node with an empty file. */
function measureStarts(): Readonly<Record<string, number>> {
  const empty = join(tmpdir(), `pakt-empty-${process.pid}.mjs`)
  writeFileSync(empty, '')
  const runs = Array.from({ length: 20 }, () => ({
    bare: time(process.execPath, [empty]),
    version: time(process.execPath, [PAK, '--version']),
  }))
  return {
    'node, empty file': median(runs.map(({ bare }) => bare)),
    'pak --version': median(runs.map(({ version }) => version)),
  }
}

async function measurePeers(counts: readonly number[]): Promise<readonly Figures[]> {
  const found = await composePeer()
  if (typeof found === 'string') console.log(`without Docker Compose: ${found}`)
  await using compose = typeof found === 'string' ? null : found
  await using pak = await pakPeer()
  await using floor = await floorPeer()
  const peers = [pak, ...(compose === null ? [] : [compose]), floor]
  const figures: Figures[] = []
  for (const count of counts) figures.push(...(await measureCount(peers, count)))
  return figures
}

async function measureCount(peers: readonly Peer[], count: number): Promise<readonly Figures[]> {
  const taken = new Map<Peer, Round[]>(peers.map((peer) => [peer, []]))
  for (let round = 0; round < rounds; round += 1) {
    console.error(`${count} containers, round ${round + 1} of ${rounds}`)
    for (const [peer, results] of taken) {
      // The kernel takes down fifty network namespaces in its own time: not on the next one's bill.
      await rest(REST_MS)
      results.push(await peer.round(count))
    }
  }
  return [...taken].map(([peer, results]) => summarise(peer.name, count, results))
}

function summarise(peer: string, count: number, results: readonly Round[]): Figures {
  const middle = (pick: (round: Round) => number | null | undefined) => {
    const found = results.map(pick).filter((value) => typeof value === 'number')
    return found.length === 0 ? null : median(found)
  }
  return {
    peer,
    count,
    upMs: middle((round) => round.upMs),
    noopUpMs: middle((round) => round.noopUpMs),
    planMs: middle((round) => round.planMs),
    psMs: middle((round) => round.psMs),
    downMs: middle((round) => round.downMs),
    rssKiB: middle((round) => round.memory?.rssKiB),
    pssKiB: middle((round) => round.memory?.pssKiB),
  }
}
