import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { importedNames, readTable, withoutStrings } from './support/imports.ts'

const SRC = join(import.meta.dirname, '..', 'src')
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .sort()
  .map((path) => ({ path, text: readFileSync(join(SRC, path), 'utf8') }))
const table = readTable(readFileSync(join(SRC, 'README.md'), 'utf8'))
const PURE = ['model', 'plan']

/** The row that rules a path: the longest part that it lies in. */
const partOf = (path: string): string | undefined =>
  [...table.keys()]
    .filter((part) => path === part || path.startsWith(`${part}/`))
    .sort((left, right) => right.length - left.length)[0]

const problemsIn = (
  find: (file: { path: string; text: string }) => readonly string[],
): readonly string[] => files.flatMap((file) => find(file).map((what) => `${file.path}: ${what}`))

test('there is something to check', () => {
  assert.ok(files.length > 10)
  assert.ok(table.size > 10)
})

test('every source file lies in a part that the table names', () => {
  assert.equal(
    problemsIn(({ path }) => (partOf(path) === undefined ? ['no row for it'] : [])),
    [],
  )
})

test('parts import only what the table allows them', () => {
  const problems = problemsIn(({ path, text }) => {
    const own = partOf(path) ?? ''
    return importedNames(text)
      .filter((name) => name.startsWith('.'))
      .map((name) => normalize(join(dirname(path), name)))
      .filter((target) => !target.startsWith('..'))
      .map((target) => partOf(target) ?? target)
      .filter((part) => part !== own && !table.get(own)?.imports.includes(part))
      .map((part) => `${own} must not import ${part}`)
  })
  assert.equal(problems, [])
})

test('outside src only the schema, the package and what the build makes of them are imported', () => {
  const allowed = /^\.\.\/(schema\/|package\.json$|dist\/)/
  const problems = problemsIn(({ path, text }) =>
    importedNames(text)
      .filter((name) => name.startsWith('.'))
      .map((name) => relative(SRC, join(SRC, dirname(path), name)))
      .filter((target) => target.startsWith('..') && !allowed.test(target)),
  )
  assert.equal(problems, [])
})

test('a package is imported by one part only, the one that the table gives it to', () => {
  const problems = problemsIn(({ path, text }) =>
    importedNames(text)
      .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
      .map((name) => name.split('/')[0] ?? name)
      .filter((name) => !table.get(partOf(path) ?? '')?.packages.includes(name))
      .map((name) => `must not import ${name}`),
  )
  assert.equal(problems, [])
  const given = [...table.values()].flatMap(({ packages }) => packages)
  assert.equal(given.length, new Set(given).size, 'a package stands in two rows')
})

test('the table has no circle', () => {
  const reaches = (from: string, path: readonly string[]): readonly string[] | null => {
    if (path.includes(from)) return [...path, from]
    for (const next of table.get(from)?.imports ?? []) {
      const circle = reaches(next, [...path, from])
      if (circle !== null) return circle
    }
    return null
  }
  for (const part of table.keys()) assert.is(reaches(part, []), null)
})

test('model and plan are pure: no clock, chance, timer, I/O or promise', () => {
  const impure =
    /\basync\b|\bawait\b|\bPromise\b|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bsetTimeout\b|\bsetInterval\b|\bprocess\.|\bperformance\.|\bconsole\./
  const problems = problemsIn(({ path, text }) => {
    if (!PURE.includes(partOf(path) ?? '')) return []
    const found = impure.exec(withoutStrings(text))
    const builtins = importedNames(text).filter((name) => name.startsWith('node:'))
    return [...(found === null ? [] : [found[0]]), ...builtins]
  })
  assert.equal(problems, [])
})

test('no file has over 400 lines', () => {
  const lines = (text: string) => text.split('\n').length - 1
  assert.equal(
    problemsIn(({ text }) => (lines(text) > 400 ? [`${lines(text)} lines`] : [])),
    [],
  )
})

test('no drawer for odds and ends', () => {
  const drawer = /(^|\/)(libs?|utils?|common|helpers?|misc|[\w-]*-manager)(\/|\.ts$)/
  assert.equal(
    problemsIn(({ path }) => (drawer.test(path) ? ['name what it is about'] : [])),
    [],
  )
})

test('no hole in the types', () => {
  const suppressed = /@ts-(ignore|expect-error|nocheck)|biome-ignore/
  const hole = /(:|\bas|<|,)\s*any\b|[\w)\]]!(?=[.,;)[\]\s])/
  const problems = problemsIn(({ text }) =>
    [suppressed.exec(text), hole.exec(withoutStrings(text))].flatMap((found) =>
      found === null ? [] : [found[0]],
    ),
  )
  assert.equal(problems, [])
})

test('every relative import names its file, generated code included', () => {
  const problems = problemsIn(({ text }) =>
    importedNames(text).filter(
      (name) => name.startsWith('.') && !/\.(ts|json)$|\/generated\/\w+\.js$/.test(name),
    ),
  )
  assert.equal(problems, [])
})

test.run()
