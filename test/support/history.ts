import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PakEvent } from '../../src/model/events.ts'

/** What a root's agent has written of events so far, one JSON object a line. */
export function historyText(root: string): string {
  const folder = join(root, 'events')
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  return files.join('').replaceAll(/\n+/g, '\n').trim()
}

export const historyOf = (root: string): readonly PakEvent[] =>
  historyText(root)
    .split('\n')
    .map((line) => JSON.parse(line))
