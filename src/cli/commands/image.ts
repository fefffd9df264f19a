import { resolve } from 'node:path'
import { PakError } from '../../errors.ts'
import type { ImageRecord } from '../../model/image.ts'
import type { Invocation } from '../grammar.ts'
import { openAgent, peekAgent } from '../session.ts'

/** `image load`: an OCI layout folder or tar, or a docker-archive; from standard input without `-i`. */
export async function load({
  flags,
  globals,
  interrupts,
  terminal,
}: Invocation): Promise<readonly ImageRecord[]> {
  const input = flags.text('input')
  const source = archive(input, globals.cwd, terminal.stdin)
  const agent = await openAgent(globals, interrupts.signal)
  return agent.loadImages(source, interrupts.signal)
}

/** `image import`: a tar of a root file system becomes an image of one layer. */
export async function importRoot({
  globals,
  interrupts,
  terminal,
  words,
}: Invocation): Promise<readonly ImageRecord[]> {
  const [path = '-', reference = ''] = words
  const source = archive(path === '-' ? null : path, globals.cwd, terminal.stdin)
  const agent = await openAgent(globals, interrupts.signal)
  return [await agent.importImage(source, reference, interrupts.signal)]
}

/** `image ls`. */
export async function list({ globals, interrupts }: Invocation): Promise<readonly ImageRecord[]> {
  const agent = await peekAgent(globals, interrupts.signal)
  return agent === null ? [] : agent.images()
}

/** `image rm`: each in turn; the first that cannot go ends it. */
export async function remove({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly string[]> {
  const agent = await openAgent(globals, interrupts.signal)
  for (const reference of words) await agent.removeImage(reference)
  return words
}

function archive(
  path: string | null,
  cwd: string,
  stdin: NodeJS.ReadStream,
): string | NodeJS.ReadStream {
  if (path !== null) return resolve(cwd, path)
  if (stdin.isTTY === true)
    throw new PakError('usage', 'image: standard input is a terminal, not an archive', {
      hint: 'give the archive with -i FILE, or pipe it in',
    })
  return stdin
}
