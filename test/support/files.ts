import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'

export const KINDS = ['pure', 'kernel', 'scenario'] as const
export type Kind = (typeof KINDS)[number]

export interface TestFile {
  /** Relative to the project's folder. */
  readonly path: string
  readonly kind: Kind
}

/** All test files below `folder`, sorted; `pattern` is a part of the path. */
export function findTests(projectFolder: string, pattern: string): readonly TestFile[] {
  return readdirSync(join(projectFolder, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(projectFolder, join(entry.parentPath, entry.name)))
    .filter((path) => path.includes(pattern))
    .sort()
    .map((path) => ({ path, kind: kindOf(path) }))
}

function kindOf(path: string): Kind {
  if (path.endsWith('.kernel.test.ts')) return 'kernel'
  return path.endsWith('.scenario.test.ts') ? 'scenario' : 'pure'
}
