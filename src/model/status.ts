/** Health as Compose shows it; `null` where no check is declared. */
export type Health = 'starting' | 'healthy' | 'unhealthy' | null

/** The life of one container, in the runtime-spec's words: one tagged value, never six booleans. */
export type ContainerStatus =
  /** Identity and storage exist, it has never run. */
  | { readonly state: 'created' }
  | {
      readonly state: 'running'
      readonly pid: number
      readonly startedAt: string
      readonly health: Health
    }
  | {
      readonly state: 'paused'
      readonly pid: number
      readonly startedAt: string
      readonly health: Health
    }
  | {
      readonly state: 'stopped'
      /** The true exit code, 128+n when signal n ended it. -1: it ended where nobody could see (a reboot). */
      readonly exitCode: number
      readonly oomKilled: boolean
      readonly startedAt: string
      readonly finishedAt: string
      /** A user said stop: no policy starts it again, only a user does. */
      readonly byUser: boolean
      /** A verdict of the restart policy: start it again, but not before this time (RFC 3339). */
      readonly restartAt: string | null
      /** It has only just ended: its policy wants it again, and when has not been decided. */
      readonly undecided?: true
    }

/** What `ps` prints as `state`. */
export type StateWord = 'created' | 'running' | 'paused' | 'stopped' | 'restarting'

export const stateWord = (status: ContainerStatus): StateWord =>
  isToRestart(status) ? 'restarting' : status.state

/** Whether it ended, and its policy starts it again unless somebody says stop. */
export const isToRestart = (status: ContainerStatus): boolean =>
  status.state === 'stopped' && (status.restartAt !== null || status.undecided === true)
