/**
 * Interpret for longer before optimised machine code is made: for what ends soon, or sleeps most of its life.
 * Empty for a V8 that is not known to have this flag (Node 20 has 11, Node 22 has 12).
 */
export const LATE_MACHINE_CODE: readonly string[] =
  Number.parseInt(process.versions.v8, 10) <= 12 ? ['--interrupt-budget=2000000'] : []

/**
 * How Node is started for the agent, and for recording what V8 compiles of it (the build). Small heaps are
 * collected early: the agent's memory is what users see.
 */
export const NODE_FLAGS: readonly string[] = [
  '--max-semi-space-size=1',
  '--max-old-space-size=256',
  ...LATE_MACHINE_CODE,
]
