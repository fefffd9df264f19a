import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { interpolateText } from '../../src/manifest/interpolate.ts'

const VALUES: Readonly<Record<string, string>> = { A: 'a', E: '', D: '$A' }
const expand = (text: string) => interpolateText(text.replaceAll('%', '$'), (name) => VALUES[name])

test("Compose's grammar, nested too", () => {
  for (const [text, expected] of [
    ['%A %{A} %%A', 'a a $A'],
    ['%{A:-x} %{E:-x} %{U:-x}', 'a x x'],
    ['%{A-x} %{E-x} %{U-x}', 'a  x'],
    ['%{A:+x} %{E:+x} %{U:+x}', 'x  '],
    ['%{A+x} %{E+x} %{U+x}', 'x x '],
    ['%{A:?no} %{A?no}', 'a a'],
    ['%{U:-%{E:-%{A}}}', 'a'],
    ['%{U:-%A/%%/%{V-v}}', 'a/$/v'],
    ['%{A:-%{U:?not asked for}}', 'a'],
    ['%{U+%{V:?not asked for}}', ''],
    ['%{U:-a:b-c?d+e}', 'a:b-c?d+e'],
    ['%D', '$A'],
    ['%Ab', ''],
    ['}', '}'],
    ['%{U:-}', ''],
    ['%{U:-line\nbreak}', 'line\nbreak'],
  ] as const)
    assert.is(expand(text), expected, text)
})

test('what is no variable is refused with the way out', () => {
  for (const text of [
    '%',
    '%1',
    '% ',
    '%{',
    '%{}',
    '%{A',
    '%{A!}',
    '%{A:}',
    '%{A:-',
    '%{A:-%{',
    '%{ A}',
    '%{1A}',
    '%{A }',
  ])
    assert.throws(
      () => expand(text),
      (error: Error) => error.name === 'Error',
      text,
    )
  assert.throws(() => expand('%{U:?say %A}'), /variable `U` is required: say a/)
  assert.throws(() => expand('%{E:?}'), /variable `E` is required/)
  assert.is(expand('%{E?}'), '')
  assert.throws(() => expand('%{U-'.repeat(100)), /nested too deep/)
})

test('a value is data: nothing in it is looked at again', () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      assert.is(
        interpolateText('<$X>', () => value),
        `<${value}>`,
      )
    }),
  )
})

test('a doubled dollar keeps any text as it is', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.is(
        interpolateText(text.replaceAll('$', '$$$$'), () => undefined),
        text,
      )
    }),
  )
})

test.run()
