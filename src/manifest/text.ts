import { stringify } from 'yaml'

/** What `toManifest` returns, as the text of a pak.yaml. */
export function manifestText(normalized: unknown): string {
  return stringify(normalized, { lineWidth: 0 })
}
