// What is no control character (C0, DEL, C1): `\p{Cc}` says the same and costs a short command 8 ms.
const CONTROL = /[^ -~\u00a0-\uffff]/g

export const hasControl = (text: string): boolean => text.search(CONTROL) !== -1

/** Text from images and files must not move the cursor. */
export const withoutControl = (text: string): string => text.replace(CONTROL, '?')
