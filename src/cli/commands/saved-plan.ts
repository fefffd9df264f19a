import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { UpOptions } from '../../agent/wire.ts'
import { PakError } from '../../errors.ts'
import type { DesiredState } from '../../model/desired.ts'
import type { Plan } from '../../model/plan.ts'

/** What `pak plan -o FILE` writes and `pak up --plan FILE` applies: all that the agent needs to compare. */
export interface SavedPlan {
  readonly pakPlan: 1
  readonly desired: DesiredState
  readonly options: UpOptions
  readonly plan: Plan
}

/** Environment values are in it: nobody else may read it. */
export async function writeSavedPlan(
  path: string,
  cwd: string,
  saved: Omit<SavedPlan, 'pakPlan'>,
): Promise<void> {
  const text = `${JSON.stringify({ pakPlan: 1, ...saved }, null, 2)}\n`
  await writeFile(resolve(cwd, path), text, { mode: 0o600 })
}

/** The agent checks the state itself: it refuses what it would not plan just so. */
export async function readSavedPlan(path: string, cwd: string) {
  const saved = parse(path, await readText(path, cwd))
  return { desired: saved.desired, options: saved.options, expectedPlan: saved.plan }
}

async function readText(path: string, cwd: string): Promise<string> {
  try {
    return await readFile(resolve(cwd, path), 'utf8')
  } catch (cause) {
    throw new PakError('usage', `read plan \`${path}\`: no such file`, { cause })
  }
}

function parse(path: string, text: string): SavedPlan {
  const wrong = new PakError('usage', `read plan \`${path}\`: not a plan that pak has saved`, {
    hint: 'pak plan -o FILE writes one',
  })
  let saved: unknown
  try {
    saved = JSON.parse(text)
  } catch {
    throw wrong
  }
  if (typeof saved !== 'object' || saved === null || !('pakPlan' in saved)) throw wrong
  if (saved.pakPlan !== 1 || !('desired' in saved && 'options' in saved && 'plan' in saved))
    throw wrong
  return saved as SavedPlan
}
