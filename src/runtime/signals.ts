import { constants } from 'node:os'
import { PakError } from '../errors.ts'

const RT_MIN = 34
const RT_MAX = 64

/** The number of a signal by its name (`SIGTERM`, `TERM`, `SIGRTMIN+3`) or as text of a number. */
export function signalNumber(name: string): number {
  const upper = name.toUpperCase()
  const found = known(upper.startsWith('SIG') ? upper : `SIG${upper}`) ?? numeric(upper)
  if (found === null)
    throw new PakError('usage', `send signal \`${name}\`: Linux has none of this name`)
  return found
}

function known(name: string): number | null {
  const entry = Object.entries(constants.signals).find(([key]) => key === name)
  if (entry !== undefined) return entry[1]
  const [, edge, sign, distance = '0'] = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? []
  if (edge === undefined) return null
  const number = (edge === 'MIN' ? RT_MIN : RT_MAX) + (sign === '-' ? -1 : 1) * Number(distance)
  return number >= RT_MIN && number <= RT_MAX ? number : null
}

function numeric(text: string): number | null {
  const number = /^\d{1,2}$/.test(text) ? Number(text) : 0
  return number >= 1 && number <= RT_MAX ? number : null
}
