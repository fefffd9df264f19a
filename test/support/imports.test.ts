import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { importedNames, readTable, withoutStrings } from './imports.ts'

test('every form of import is seen, and nothing in comments', () => {
  const source = [
    "import { a } from './a.ts'",
    'import type {',
    '  B,',
    "} from '../b.ts'",
    "export * from './c.ts'",
    "import './d.ts'",
    "const e = await import('./e.ts')",
    "// import { f } from './f.ts'",
    "/* import { g } from './g.ts' */",
    "export const from = 'x'",
  ].join('\n')
  assert.equal([...importedNames(source)].sort(), [
    '../b.ts',
    './a.ts',
    './c.ts',
    './d.ts',
    './e.ts',
  ])
})

test('what stands in quotes is not code', () => {
  assert.not.match(withoutStrings('const a = "as any" // as any'), 'any')
  assert.match(withoutStrings("const a = 'x' as any"), 'as any')
})

test('the table is read by its columns', () => {
  const table = readTable(
    'x\n\n| part | imports | packages |\n|---|---|---|\n| `a` | `b` `c.ts` | `yaml` |\n| `b` | | |\n\n`d`',
  )
  assert.equal(
    [...table],
    [
      ['a', { imports: ['b', 'c.ts'], packages: ['yaml'] }],
      ['b', { imports: [], packages: [] }],
    ],
  )
})

test.run()
