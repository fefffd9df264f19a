/** Nothing that is due is put off for longer, in milliseconds: neither a restart nor a start that has failed. */
export const LONGEST_BACK_OFF_MS = 60_000

/**
 * Whether a moment is still to come that is never more than `mostMs` away; all in milliseconds since the epoch.
 * One that is further ahead was reckoned before the clock was set back: nobody is to wait for it.
 */
export const isAhead = (time: number, now: number, mostMs = LONGEST_BACK_OFF_MS): boolean =>
  time > now && time - now <= mostMs
