import { PakError } from '../errors.ts'
import type { DesiredState, Network } from '../model/desired.ts'
import { NO_LIMITS } from '../model/limits.ts'
import { foreignName, SHARED } from '../model/shared.ts'
import type { Desk } from './desk.ts'
import { down, requireDone, up } from './operations.ts'
import { NOBODY } from './work.ts'

/**
 * Networks made by hand are those of a project without a file: what is wanted of it is what was made and
 * not removed again. So they are planned, kept, repaired and come back after a reboot as all others do.
 */

/** Throws `conflict` when there is one of that name, `subnet_taken` and the like as `up` would. */
export function createByHand(desk: Desk, network: Network): Promise<void> {
  return desk.loop.exclusive(SHARED, async () => {
    const before = await desk.shop.kept.read(SHARED)
    const { networks } = before ?? NOTHING
    if (networks.some(({ name }) => name === network.name))
      throw new PakError('conflict', `create network \`${network.name}\`: there is one`)
    try {
      await settle(desk, { ...NOTHING, networks: [...networks, network].sort(byName) })
    } catch (error) {
      // What could not be made must not be tried again and again.
      await settle(desk, before ?? NOTHING).catch(() => {})
      throw error
    }
  })
}

/** Throws `not_found` for a name that nobody made by hand, `conflict` naming who is on one of them. */
export function removeByHand(desk: Desk, names: readonly string[]): Promise<void> {
  return desk.loop.exclusive(SHARED, async () => {
    const before = (await desk.shop.kept.read(SHARED)) ?? NOTHING
    const missing = names.find((name) => !before.networks.some((known) => known.name === name))
    if (missing !== undefined) throw await unknown(desk, missing)
    const networks = before.networks.filter(({ name }) => !names.includes(name))
    await settle(desk, { ...before, networks })
  })
}

/** Those made by hand that no container is on, running or not. */
export async function unusedByHand(desk: Desk): Promise<readonly string[]> {
  const { networks } = (await desk.shop.kept.read(SHARED)) ?? NOTHING
  const { executor } = desk.shop.parts
  const projects = await Promise.all(
    (await executor.projects()).map((project) => executor.inspect({ project, only: 'containers' })),
  )
  const used = new Set(
    projects.flatMap(({ containers }) =>
      containers.flatMap(({ addresses }) => Object.keys(addresses)),
    ),
  )
  return networks.flatMap(({ name }) =>
    used.has(foreignName({ owner: SHARED, name })) ? [] : name,
  )
}

const NOTHING: DesiredState = {
  project: SHARED,
  limits: NO_LIMITS,
  drift: 'repair',
  services: [],
  networks: [],
  volumes: [],
}

async function settle({ shop }: Desk, desired: DesiredState): Promise<void> {
  const options = { removeVolumes: false, removeOrphans: true, graceMs: null, detached: true }
  const result =
    desired.networks.length === 0
      ? await down(shop, SHARED, { desired: null, options }, NOBODY)
      : await up(
          shop,
          SHARED,
          Promise.resolve({ desired, options: UP, expectedPlan: null }),
          NOBODY,
        )
  requireDone('network', result)
}

const UP = {
  services: null,
  noDeps: false,
  forceRecreate: false,
  removeOrphans: true,
  timeoutMs: null,
  waitTimeoutMs: 60_000,
  origin: null,
  detached: true,
}

async function unknown(desk: Desk, name: string): Promise<PakError> {
  const owners = (await desk.networks(null)).filter((row) => row.name === name)
  const owner = owners.find(({ project }) => project !== null)?.project
  const hint =
    owner === undefined || owner === null
      ? 'pak network ls lists what there is'
      : `project ${owner} has it: what its file declares goes with pak up or pak down`
  return new PakError('not_found', `remove network \`${name}\`: nobody made it by hand`, { hint })
}

const byName = (a: Network, b: Network): number => (a.name < b.name ? -1 : 1)
