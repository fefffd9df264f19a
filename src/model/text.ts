// What is no control character (C0, DEL, C1): `\p{Cc}` says the same and costs a short command 8 ms.
const CONTROL = /[^ -~\u00a0-\uffff]/g

export const hasControl = (text: string): boolean => text.search(CONTROL) !== -1

/** Text from images and files must not move the cursor. */
export const withoutControl = (text: string): string => text.replace(CONTROL, '?')

/**
 * The beginning of what a program printed, to be kept: no control characters but line ends and tabs, no
 * terminal's sequences, nothing that turns text around.
 */
export const printableOutput = (text: string, mostCharacters: number): string =>
  text
    .slice(0, 4 * mostCharacters)
    .replace(SEQUENCES, '')
    .replaceAll('\r\n', '\n')
    .replace(UNPRINTABLE, '\ufffd')
    .slice(0, mostCharacters)

/** ECMA-48: a control character, `[`, parameters, a final byte. */
const SEQUENCES = /[^ -~\t\n\u00a0-\uffff]\[[0-?]*[ -/]*[@-~]/g
const UNPRINTABLE = /[^ -~\t\n\u00a0-\uffff]|[\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g
