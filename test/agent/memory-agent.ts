// The agent as a program of its own, on a host in memory: what launch.test.ts starts and kills.
import { main } from '../../src/agent/agent.ts'
import { memoryParts } from './parts.ts'

process.exitCode = await main(process.argv.slice(2), async () => memoryParts())
