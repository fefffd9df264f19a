import { readFileSync } from 'node:fs'

/** The JSON schema of pak.yaml as text. It lies beside the bundle's folder, as in the repository. */
export function manifestSchema(): string {
  for (const path of ['../schema/pak.schema.json', '../../schema/pak.schema.json']) {
    try {
      return readFileSync(new URL(path, import.meta.url), 'utf8')
    } catch {}
  }
  throw new Error('schema/pak.schema.json is not in this package')
}
