/**
 * How Node is started for the agent, and for recording what V8 compiles of it (the build). Small heaps are
 * collected early: the agent sleeps most of its life, and its memory is what users see.
 */
export const NODE_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=256'] as const
