import type { LinuxHost } from './host.ts'

/** What the agent remembers of plugins while it lives. */
export interface CniState {
  /** Container id -> end of what its plugins are doing: one thing at a time (CNI's specification, section 3). */
  readonly turns: Map<string, Promise<void>>
  /** By `lookKey`. */
  readonly looks: Map<string, CniLook>
}

/** What was found when an attachment was looked at last. */
export interface CniLook {
  readonly atMs: number
  /** What is not as its plugins made it; `null`: nothing. */
  readonly fact: string | null
}

export const lookKey = (id: string, network: string): string => `${id} ${network}`

/** Run it when everything before it for the same container has ended. */
export async function inTurn<T>(host: LinuxHost, id: string, work: () => Promise<T>): Promise<T> {
  const { turns } = host.cni
  const turn = (turns.get(id) ?? Promise.resolve()).then(work)
  const end = turn.then(
    () => {},
    () => {},
  )
  turns.set(id, end)
  try {
    return await turn
  } finally {
    if (turns.get(id) === end) turns.delete(id)
  }
}
