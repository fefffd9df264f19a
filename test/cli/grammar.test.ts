import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { flagsOf } from '../../src/cli/flags.ts'
import { globalsOf } from '../../src/cli/globals.ts'
import { parse } from '../../src/cli/program.ts'
import { COMMANDS } from '../../src/cli/table.ts'
import { wantsColor } from '../../src/cli/terminal.ts'
import { timeOf } from '../../src/cli/values.ts'
import { PakError } from '../../src/errors.ts'

function parsed(line: string) {
  const chosen = parse(line.split(' '))
  assert.ok(chosen, line)
  const flags = flagsOf(chosen.values)
  const globals = globalsOf(flags, { cwd: '/work', environment: {} })
  return { command: chosen.spec.name, words: chosen.words, flags, globals }
}

function refused(line: string): PakError {
  try {
    parse(line.split(' '))
  } catch (error) {
    assert.instance(error, PakError)
    return error as PakError
  }
  throw new Error(`${line}: accepted`)
}

test('global flags stand before the command or after it', () => {
  for (const line of ['-f a.yaml -p shop --root /r ps -a', 'ps -a -f a.yaml -p shop --root /r']) {
    const { command, flags, globals } = parsed(line)
    assert.is(command, 'ps')
    assert.ok(flags.on('all'))
    assert.equal(globals.files, ['a.yaml'])
    assert.is(globals.projectName, 'shop')
    assert.is(globals.root, '/r')
  }
  assert.equal(parsed('image ls --root x').globals.root, '/work/x')
  assert.equal(parsed('image --root x ls').globals.root, '/work/x')
})

test('only for logs a later -f follows', () => {
  const { flags, globals, words } = parsed('-f a.yaml logs -f -n 5 web')
  assert.ok(flags.on('follow'))
  assert.equal(globals.files, ['a.yaml'])
  assert.is(flags.count('tail'), 5)
  assert.equal(words, ['web'])
  assert.equal(parsed('logs --file b.yaml').globals.files, ['b.yaml'])
})

test('several manifests are kept in order', () => {
  assert.equal(parsed('up -f a.yaml -f b.yaml').globals.files, ['a.yaml', 'b.yaml'])
})

test('what follows the service of exec is the command’s', () => {
  const { words, flags } = parsed('exec -T -e A=1 -e B web ls -la --file x')
  assert.equal(words, ['web', 'ls', '-la', '--file', 'x'])
  assert.equal(flags.list('env'), ['A=1', 'B'])
  assert.ok(flags.off('tty'))
  assert.not(parsed('exec web true').flags.off('tty'))
})

test('the flags of up', () => {
  const { flags, words } = parsed('up -d --no-deps -t 1.5 --scale a=1 --scale b=2 web db')
  assert.ok(flags.on('detach'))
  assert.ok(flags.off('deps'))
  assert.is(flags.seconds('timeout'), 1500)
  assert.equal(flags.list('scale'), ['a=1', 'b=2'])
  assert.equal(words, ['web', 'db'])
  assert.not(parsed('up').flags.off('deps'))
})

test('what is misspelt is answered with what was meant', () => {
  assert.is(refused('pss').hint, 'did you mean `ps`?')
  assert.is(refused('up --dettach').hint, 'did you mean `--detach`?')
  assert.is(refused('image lls').exitStatus, 2)
  assert.match(refused('image').message, '`load`')
  assert.match(refused('up --progress loud').message, 'loud')
  assert.match(refused('exec web').message, 'missing required argument')
})

test('numbers are numbers', () => {
  for (const line of ['up -t soon', 'up -t -1', 'logs -n 1e3', 'logs -n -5'])
    assert.throws(() => {
      const { flags } = parsed(line)
      flags.seconds('timeout')
      flags.count('tail')
    }, /expected/)
})

test('the environment stands in for flags', () => {
  const environment = {
    PAK_FILE: 'a.yaml:b.yaml',
    PAK_PROJECT_NAME: 'shop',
    PAK_PROFILES: 'x,y',
    PAK_ROOT: '/r',
    PAK_RUN_ROOT: '',
  }
  const globals = globalsOf(flagsOf({}), { cwd: '/work', environment })
  assert.equal(globals.files, ['a.yaml', 'b.yaml'])
  assert.is(globals.projectName, 'shop')
  assert.equal(globals.profiles, ['x', 'y'])
  assert.is(globals.root, '/r')
  assert.is(globals.runRoot, '/run/pak')
  const named = globalsOf(flagsOf({ projectName: 'other' }), { cwd: '/work', environment })
  assert.is(named.projectName, 'other')
})

test('times', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  assert.is(timeOf('1h30m', 'since', now), now - 5_400_000)
  assert.is(timeOf('10', 'since', now), 10_000)
  assert.is(timeOf('2026-01-01T00:00:01Z', 'since', now), now + 1000)
  assert.throws(() => timeOf('yesterday', 'since', now), /expected a time/)
})

test('colour', () => {
  const wants = (environment: Record<string, string>, isTty: boolean, ansi: string | null = null) =>
    wantsColor({ environment, ansi, isTty })
  assert.ok(wants({}, true))
  assert.not(wants({}, false))
  assert.not(wants({ NO_COLOR: '1' }, true))
  assert.ok(wants({ FORCE_COLOR: '1' }, false))
  assert.not(wants({ NO_COLOR: '1', FORCE_COLOR: '1' }, true))
  assert.not(wants({ TERM: 'dumb' }, true))
  assert.ok(wants({ NO_COLOR: '1' }, false, 'always'))
  assert.not(wants({}, true, 'never'))
})

test('every command has a summary and an example, and code or commands of its own', () => {
  const check = (commands: typeof COMMANDS, before: string) => {
    for (const spec of commands) {
      assert.ok(spec.summary.length > 0 && spec.summary.length <= 62, spec.name)
      assert.ok(spec.examples.length > 0, spec.name)
      assert.ok((spec.run === undefined) === (spec.commands !== undefined), spec.name)
      for (const example of spec.examples) {
        assert.ok(example.length <= 80, example)
        assert.ok(example.includes(`pak ${before}${spec.name}`) || spec.commands, example)
      }
      check(spec.commands ?? [], `${before}${spec.name} `)
    }
  }
  check(COMMANDS, '')
})

test.run()
