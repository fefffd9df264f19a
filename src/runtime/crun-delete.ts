import { posix } from 'node:path'
import type { Kernel } from '../kernel/kernel.ts'

/** `path` is the runtime's program, `root` its folder of state. */
interface Runtime {
  readonly path: string
  readonly root: string
  readonly environment: Readonly<Record<string, string>>
}

/** Each takes one container after the other and waits for the kernel now and then: two keep two processors busy. */
const PARALLEL = 2
/** regcomp(3) of alternatives takes memory with the square of their number. */
const MOST_IDS = 64
/** Of pak's own making, see `newId`: nothing in it means anything in a regular expression. */
const ID = /^[0-9a-f]{64}$/

/**
 * Delete containers by force, many in one program: crun's own start is nine tenths of what a `crun delete`
 * costs, a copy of itself into memory among it. `crun delete --regex` is in every crun since 0.3 (2018), in no runc.
 * It ends with 0 whatever comes of it; what has gone wrong has left its folder of state.
 *
 * @returns whether all are gone; `null` where the runtime cannot do this
 * @throws PakError `timeout`, `tool_missing`
 */
export async function deleteByPattern(
  kernel: Kernel,
  { path, root, environment }: Runtime,
  ids: readonly string[],
): Promise<boolean | null> {
  if (posix.basename(path) !== 'crun' || !ids.every((id) => ID.test(id))) return null
  const options = { env: environment, timeoutMs: 120_000 }
  const groups = inGroups(ids)
  for (let next = 0; next < groups.length; next += PARALLEL) {
    const results = await Promise.all(
      groups.slice(next, next + PARALLEL).map((group) => {
        const pattern = `^(${group.join('|')})$`
        return kernel.run(path, ['--root', root, 'delete', '--force', '--regex', pattern], options)
      }),
    )
    if (results.some(({ exitCode }) => exitCode !== 0)) return false
  }
  const left = new Set(await kernel.list(root))
  return !ids.some((id) => left.has(id))
}

function inGroups(ids: readonly string[]): readonly (readonly string[])[] {
  const size = Math.min(MOST_IDS, Math.ceil(ids.length / PARALLEL))
  return Array.from({ length: Math.ceil(ids.length / size) }, (_, index) =>
    ids.slice(index * size, (index + 1) * size),
  )
}
