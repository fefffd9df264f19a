import { PakError } from '../errors.ts'

/**
 * Words of lines for `ip -batch`, `bridge -batch` and `nft -f`, checked once more where the line is made:
 * a space would be a new word of the command, a newline another command. Each throws `network`.
 */

/** A subset of what the kernel takes, without anything that a batch line or a rule could misread. */
export const INTERFACE_NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,14}$/

export const deviceWord = (name: string): string => word(name, INTERFACE_NAME, 'interface name')

export const macWord = (mac: string): string => word(mac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'MAC')

/** Not negative, of 32 bits at most. */
export const numberWord = (number: number): string =>
  word(String(number), /^(0|[1-9][0-9]{0,9})$/, 'number')

/** `what` is for the message. */
export function word(text: string, grammar: RegExp, what: string): string {
  if (!grammar.test(text)) throw new PakError('network', `${what} \`${text}\`: refused`)
  return text
}
