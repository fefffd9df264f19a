// The agent as a program of its own, on a host in memory: what launch.test.ts starts and kills.
import { main } from '../../src/agent/agent.ts'
import { PakError } from '../../src/errors.ts'
import { memoryParts } from './parts.ts'

const [first, ...rest] = process.argv.slice(2)
const isBroken = first === '--broken'

process.exitCode = await main(isBroken ? rest : process.argv.slice(2), async () => {
  if (isBroken) throw new PakError('tool_missing', 'run `crun`: not installed')
  return memoryParts()
})
