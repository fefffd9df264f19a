import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { shortageError } from '../errors.ts'

/**
 * spawn(3) of Node with one difference: a process that has no descriptors left for the pipes throws PakError
 * `host`. Node's own gives back a child without streams then, of which the types know nothing, and whoever
 * touches them never comes to listen for its `error`, which then ends the process.
 */
export const spawnProgram: typeof spawn = ((
  file: string,
  args: readonly string[],
  options: SpawnOptions,
): ChildProcess => {
  const child = spawn(file, args, options)
  if (hasStreams(child)) return child
  child.once('error', () => {})
  throw shortageError('EMFILE', `spawn \`${file}\``)
}) as typeof spawn

const hasStreams = ({ stdio }: { readonly stdio?: unknown }): boolean => stdio !== undefined
