import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ContainerRow, ResultLine } from '../../src/agent/wire.ts'
import { flagsOf } from '../../src/cli/flags.ts'
import { globalsOf } from '../../src/cli/globals.ts'
import type { Invocation } from '../../src/cli/grammar.ts'
import type { ProgressItem } from '../../src/cli/items.ts'
import { printError } from '../../src/cli/views/error.ts'
import { harmless, linePrinter } from '../../src/cli/views/logs.ts'
import { eventText } from '../../src/cli/views/look.ts'
import { printProgress } from '../../src/cli/views/progress.ts'
import { columns, statusText } from '../../src/cli/views/ps.ts'
import { tableText } from '../../src/cli/views/table.ts'
import { PakError } from '../../src/errors.ts'
import type { Plan, Step } from '../../src/model/plan.ts'
import type { LogEntry } from '../../src/telemetry/logs.ts'
import { paperTerminal } from './paper.ts'

const NOW = Date.parse('2026-01-01T00:01:00Z')

const row: ContainerRow = {
  project: 'shop',
  service: 'web',
  container: 'shop-web-1',
  id: 'a'.repeat(64),
  state: 'running',
  health: 'healthy',
  exitCode: null,
  oomKilled: false,
  restartCount: 0,
  pid: 7,
  image: 'docker.io/library/nginx:latest',
  ports: [{ hostIp: '0.0.0.0', published: 8080, target: 80, protocol: 'tcp' }],
  networks: {},
  createdAt: '2026-01-01T00:00:00Z',
  startedAt: '2026-01-01T00:00:57Z',
  finishedAt: null,
}

const ended = {
  startedAt: row.createdAt,
  finishedAt: '2026-01-01T00:00:58Z',
  health: null,
} as const

function invocation(options: Record<string, unknown> = {}) {
  const terminal = paperTerminal()
  const flags = flagsOf(options)
  const never = new AbortController().signal
  const made: Invocation = {
    words: [],
    flags,
    globals: globalsOf(flags, { cwd: '/', environment: {} }),
    terminal,
    interrupts: { signal: never, force: never, handleForce() {}, ignore() {} },
  }
  return { ...terminal, invocation: made }
}

test('a status in words', () => {
  assert.is(statusText(row, NOW), 'Up 3 seconds (healthy)')
  assert.is(statusText({ ...row, health: 'starting' }, NOW), 'Up 3 seconds (health: starting)')
  assert.is(statusText({ ...row, health: null, state: 'paused' }, NOW), 'Up 3 seconds (paused)')
  const killed = { ...row, ...ended, state: 'stopped', exitCode: 137, oomKilled: true } as const
  assert.is(statusText(killed, NOW), 'Exited (137) 2 seconds ago, out of memory')
  const restarting = { ...killed, state: 'restarting', exitCode: 1, oomKilled: false } as const
  assert.is(statusText(restarting, NOW), 'Restarting (1) 2 seconds ago')
  assert.is(
    statusText({ ...killed, exitCode: -1, oomKilled: false }, NOW),
    'Exited (?) 2 seconds ago',
  )
  assert.is(statusText({ ...row, state: 'created', startedAt: null }, NOW), 'Created')
})

test('a table', () => {
  assert.is(
    tableText([row, { ...row, container: 'shop-web-22', image: 'a\nb' }], columns(NOW)),
    [
      'CONTAINER     SERVICE   IMAGE                            STATUS                   PORTS',
      'shop-web-1    web       docker.io/library/nginx:latest   Up 3 seconds (healthy)   0.0.0.0:8080->80/tcp',
      'shop-web-22   web       a?b                              Up 3 seconds (healthy)   0.0.0.0:8080->80/tcp',
      '',
    ].join('\n'),
  )
})

const step = (id: string, change: Partial<Step>): Step =>
  ({ id, needs: [], destroys: false, because: { kind: 'missing' }, args: {}, ...change }) as Step

const plan: Plan = {
  project: 'shop',
  steps: [
    step('container.stop:service/web/1', {
      op: 'container.stop',
      on: 'service/web/1',
      because: {
        kind: 'changed',
        fields: [{ path: 'environment.GREETING', from: 'hi', to: 'hello' }],
      },
    }),
    step('container.remove:service/web/1', { op: 'container.remove', on: 'service/web/1' }),
    step('container.create:service/web/1', { op: 'container.create', on: 'service/web/1' }),
    step('container.start:service/web/1', { op: 'container.start', on: 'service/web/1' }),
    step('container.start:service/db/1', { op: 'container.start', on: 'service/db/1' }),
  ],
  summary: { create: 0, update: 0, recreate: 1, remove: 0, start: 1, stop: 0 },
  warnings: ['orphan container shop-old-1'],
}

const result: ResultLine = {
  type: 'result',
  ok: true,
  done: [],
  failed: [],
  skipped: [],
  cancelled: false,
  leaving: [],
}

async function* stream(...items: readonly ProgressItem[]): AsyncGenerator<ProgressItem> {
  yield* items
}

test('progress in plain lines says what and why, and nothing on stdout', async () => {
  const { invocation: plain, stdoutText, stderrText } = invocation({ progress: 'plain' })
  assert.is(await printProgress(stream({ type: 'plan', plan }, result), plain), 0)
  assert.is(stdoutText(), '')
  const lines = stderrText().split('\n')
  assert.equal(lines.slice(0, 3), [
    'warning: orphan container shop-old-1',
    'recreate service/web/1: environment.GREETING: "hi" -> "hello"',
    'start service/db/1: missing',
  ])
  assert.match(lines[3] ?? '', /^shop: 1 recreated, 1 started in \d/)
})

test('failures are printed with their hints; the exit status is 1, interrupted 130', async () => {
  const error = { code: 'port_taken', message: 'publish `80`: taken by nginx', hint: 'stop it' }
  const failed = { ...result, ok: false, failed: [{ id: 'x', error }] }
  for (const progress of ['plain', 'quiet']) {
    const { invocation: made, stderrText } = invocation({ progress })
    assert.is(await printProgress(stream({ type: 'plan', plan }, failed), made), 1)
    assert.match(stderrText(), 'error: publish `80`: taken by nginx\nhint: stop it\n')
  }
  const { invocation: made } = invocation({ progress: 'quiet' })
  const cancelled = { ...failed, failed: [], cancelled: true }
  assert.is(await printProgress(stream({ type: 'plan', plan }, cancelled), made), 130)
})

test('progress as JSON is one object a line', async () => {
  const { invocation: made, stderrText } = invocation({ progress: 'json' })
  await printProgress(stream({ type: 'note', text: 'a' }, { type: 'plan', plan }, result), made)
  const types = stderrText()
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text).type)
  assert.equal(types, ['note', 'plan', 'result'])
})

test('progress on a terminal ends with every thing and its mark', async () => {
  const { invocation: made, stderrText } = invocation({ progress: 'tty' })
  const events = plan.steps.map(({ id }) => ({ type: 'done', id, durationMs: 1 }) as const)
  await printProgress(stream({ type: 'plan', plan }, ...events, result), made)
  assert.match(stderrText(), 'recreate service/web/1')
  assert.match(stderrText(), /shop: 1 recreated, 1 started in/)
})

test('errors: what pak knows, and what is a bug', () => {
  const known = invocation()
  const error = new PakError('not_found', 'stop `x`: no such service', { hint: 'look' })
  assert.is(printError(error, known.invocation.terminal), 1)
  assert.is(known.stderrText(), 'error: stop `x`: no such service\nhint: look\n')
  const manifest = invocation()
  const rendered = new PakError('manifest', 'pak.yaml:1:1  name\n   1 | name: !\n')
  assert.is(printError(rendered, manifest.invocation.terminal), 2)
  assert.ok(manifest.stderrText().startsWith('pak.yaml:1:1'))
  const bug = invocation()
  assert.is(printError(new TypeError('x is undefined'), bug.invocation.terminal), 1)
  assert.match(
    bug.stderrText(),
    /bug in pak\nTypeError: x is undefined\n {4}at .*\n(.*\n)*.*report/,
  )
})

const entry = (label: string, text: string, whole = true): LogEntry => ({
  source: { container: `shop-${label}`, service: label, label, path: '/x' },
  stream: 'stdout',
  time: '2026-01-01T00:00:00Z',
  order: 0n,
  text: Buffer.from(text),
  whole,
})

async function printed(options: Record<string, unknown>, entries: readonly LogEntry[]) {
  const { invocation: made, stdoutText } = invocation(options)
  const print = linePrinter(made, ['web-1', 'database'])
  for (const each of entries) await print(each)
  return stdoutText()
}

test('log lines behind the name of their container', async () => {
  const entries = [entry('web-1', 'a'), entry('database', 'b')]
  assert.is(await printed({}, entries), 'web-1    | a\ndatabase | b\n')
  assert.is(
    await printed({ logPrefix: false, timestamps: true }, entries.slice(0, 1)),
    '2026-01-01T00:00:00Z a\n',
  )
})

test('pieces of a line are joined; another container’s line does not stick to them', async () => {
  const pieces = [entry('web-1', 'a', false), entry('web-1', 'b', false), entry('database', 'c')]
  assert.is(await printed({ logPrefix: false }, pieces), 'ab\nc\n')
})

test('on a terminal only colours are left of a log’s sequences', () => {
  assert.is(harmless('\x1b[31mred\x1b[0m\tok'), '\x1b[31mred\x1b[0m\tok')
  assert.is(harmless('a\x1b[2J\x1b]0;title\x07b\r\x07c\x9b1A'), 'abc')
})

test('an event is one line', () => {
  const event = {
    time: '2026-01-01T00:00:00.000Z',
    project: 'shop',
    type: 'container.exited',
    on: 'service/web/1',
    because: { kind: 'exited', exitCode: 137, oomKilled: true },
  } as const
  assert.is(
    eventText(event),
    '2026-01-01T00:00:00.000Z shop container.exited service/web/1 (exited with 137, out of memory)',
  )
})

test.run()
