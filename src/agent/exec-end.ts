// Who asked the agent for an invocation spawns it itself, and ends it with this.
export { type ExecEnd, endExec } from '../executor/linux/exec.ts'
