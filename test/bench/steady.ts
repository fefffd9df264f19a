/**
 * What pak costs while containers run: the agent's memory and CPU at rest, a look at all of them, and how soon one
 * whose main process was killed runs again; beside Docker Compose where that is running. It asserts nothing.
 *
 *   node --import tsx test/bench/steady.ts [containers] [rounds] [seconds at rest]
 */
import { setTimeout as rest } from 'node:timers/promises'
import { provideBuild } from '../support/build.ts'
import { steadyCompose, steadyPak } from './beside.ts'
import { cpuMsOf, median, memoryOf } from './measure.ts'
import { processIn, runsAgain, type Steady } from './running.ts'

const count = Number(process.argv[2] ?? 50)
const rounds = Number(process.argv[3] ?? 5)
const atRestMs = Number(process.argv[4] ?? 60) * 1000
/** V8 clears up for some 20 s after an `up`. */
const SETTLE_MS = 30_000
/** Both start the first time after so much, and begin anew with it after a good run. */
const FIRST_DELAY_MS = 100
const GOOD_RUN_MS = 11_000

if (!provideBuild(process.cwd())) throw new Error('npm run build')
for (const peer of [steadyPak, steadyCompose]) {
  await using running = await peer(count)
  if (running === null) console.log('without Docker Compose: no daemon answers')
  else await measure(running)
}

async function measure(running: Steady): Promise<void> {
  const { name } = running
  await rest(SETTLE_MS)
  const { rssKiB, pssKiB, processes } = memoryOf(running.belongs)
  const mebi = (kib: number) => `${(kib / 1024).toFixed(1)} MiB`
  console.log(
    `${name}, ${count} containers: ${processes} processes of its own, RSS ${mebi(rssKiB)}, PSS ${mebi(pssKiB)}`,
  )
  const [before, from] = [cpuMsOf(running.belongs), performance.now()]
  await rest(atRestMs)
  const share = (cpuMsOf(running.belongs) - before) / (performance.now() - from)
  console.log(`${name}: ${(share * 100).toFixed(2)} % of a CPU over ${atRestMs / 1000} s at rest`)
  const looks = Array.from({ length: rounds }, () => running.look())
  console.log(`${name}: stats --no-stream ${median(looks).toFixed(0)} ms`)
  const agains: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    await rest(GOOD_RUN_MS)
    const pid = processIn(running.victim())
    const killedAt = performance.now()
    process.kill(pid, 'SIGKILL')
    agains.push((await runsAgain(running.victim, pid)) - killedAt - FIRST_DELAY_MS)
  }
  console.log(
    `${name}: runs again ${median(agains).toFixed(0)} ms after its end, the first back-off of ${FIRST_DELAY_MS} ms aside (${agains.map((ms) => ms.toFixed(0)).join(', ')})`,
  )
}
