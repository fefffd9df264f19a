import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Test } from 'uvu'

/** The runner shows lines that begin so beneath the file that printed them. */
export const SKIP_MARK = '~ skipped:'

/** Register a test, or skip it visibly when there is a reason why it cannot run on this machine. */
export function testUnless(
  test: Test,
  reason: string | null,
  name: string,
  body: () => Promise<void> | void,
): void {
  if (reason === null) {
    test(name, body)
    return
  }
  console.log(`${SKIP_MARK} ${name}: ${reason}`)
  test.skip(name, body)
}

/** A reason to skip unless this is root and all of these programs are installed; `null` when it is so. */
export function hostLacks(...programs: readonly string[]): string | null {
  if (process.getuid?.() !== 0) return 'needs root'
  const missing = programs.filter((program) => !installed(program))
  return missing.length === 0 ? null : `not installed: ${missing.join(', ')}`
}

/** By its name, or as an absolute path. */
export function installed(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program)
  const folders = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`.split(delimiter)
  return folders.some((folder) => folder !== '' && existsSync(join(folder, program)))
}
