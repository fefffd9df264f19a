export interface Row {
  readonly imports: readonly string[]
  readonly packages: readonly string[]
}

/** The table of allowed imports in src/README.md: part -> what it may import. */
export function readTable(markdown: string): ReadonlyMap<string, Row> {
  const rows = markdown
    .slice(markdown.indexOf('| part | imports | packages |'))
    .split('\n\n')[0]
    ?.split('\n')
    .slice(2)
    .map((line) => line.split('|').map(quotedNames))
  return new Map(
    rows?.flatMap(([, part, imports, packages]) =>
      part?.[0] === undefined
        ? []
        : [[part[0], { imports: imports ?? [], packages: packages ?? [] }]],
    ),
  )
}

const quotedNames = (cell: string): string[] =>
  [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name ?? '')

/** What a module imports or re-exports, types and dynamic imports included. */
export function importedNames(source: string): readonly string[] {
  const code = withoutComments(source)
  const statement = /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm
  const bare = /^\s*import\s*['"]([^'"]+)['"]/gm
  const dynamic = /\bimport\(\s*['"]([^'"]+)['"]/g
  return [statement, bare, dynamic].flatMap((pattern) =>
    [...code.matchAll(pattern)].map(([, name]) => name ?? ''),
  )
}

/** Good enough for this code: comments that begin a line or follow a blank. */
export const withoutComments = (source: string): string =>
  source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1')

/** Code alone: neither comments nor what stands in quotes, nor regular expressions. */
export const withoutStrings = (source: string): string =>
  withoutComments(source)
    .replaceAll(/'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g, "''")
    .replaceAll(/`(?:[^`\\]|\\.)*`/g, "''")
    .replaceAll(/([=(,:]\s*)\/(?:[^/\\\n]|\\.)+\/[a-z]*/g, "$1''")
