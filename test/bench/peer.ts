import type { Memory } from './measure.ts'

/** One way to run the same containers. Everything it makes is gone when it is disposed of. */
export interface Peer extends AsyncDisposable {
  readonly name: string
  /** One round with so many containers, from nothing to nothing. */
  round(count: number): Promise<Round>
}

/** Milliseconds; `null`: it has no such command. */
export interface Round {
  readonly upMs: number
  readonly noopUpMs: number | null
  readonly planMs: number | null
  readonly psMs: number | null
  readonly downMs: number
  /** Of everything that has to run beside the containers themselves. */
  readonly memory: Memory | null
}
