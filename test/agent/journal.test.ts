import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { EventLog } from '../../src/agent/events.ts'
import { beginJournal, readJournal, unfinished } from '../../src/agent/journal.ts'

const BEGIN = { time: '2026-01-01T00:00:00Z', verb: 'up', cause: 'up', steps: 2 } as const

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'pakt-journal-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

test('a plan that came to its end is not unfinished', async () => {
  await using at = await folder()
  const run = beginJournal(at.path, BEGIN)
  run.step('container.start:service/a/1', 'done')
  assert.is(unfinished(at.path), 'up')
  run.end('2026-01-01T00:00:01Z', true)
  assert.is(unfinished(at.path), null)
  assert.equal(
    readJournal(at.path).map(({ kind }) => kind),
    ['begin', 'step', 'end'],
  )
})

test('no journal is nothing unfinished', async () => {
  await using at = await folder()
  assert.is(unfinished(join(at.path, 'none')), null)
})

test('a torn last line hides neither what was before nor what comes', async () => {
  await using at = await folder()
  beginJournal(at.path, { ...BEGIN, verb: 'down' }).step('a', 'done')
  await appendFile(join(at.path, 'journal.ndjson'), '{"kind":"end","ti')
  assert.is(unfinished(at.path), 'down')
  beginJournal(at.path, BEGIN)
  assert.is(unfinished(at.path), 'up')
})

test('a journal that is long is rotated', async () => {
  await using at = await folder()
  await appendFile(join(at.path, 'journal.ndjson'), 'x'.repeat(300_000))
  beginJournal(at.path, BEGIN).end('2026-01-01T00:00:01Z', true)
  assert.ok((await stat(join(at.path, 'journal.ndjson'))).size < 1000)
  assert.is((await stat(join(at.path, 'journal.ndjson'))).mode & 0o777, 0o600)
})

test('events are kept, filtered and told', async () => {
  await using at = await folder()
  const log = new EventLog(at.path)
  const heard: string[] = []
  const event = (time: string, project: string) =>
    ({ time, project, type: 'container.started', on: 'service/a/1', because: null }) as const
  {
    using _ = log.subscribe(({ project }) => heard.push(project))
    log.add([event('2026-01-01T00:00:00.000Z', 'one'), event('2026-01-01T00:00:05.000Z', 'two')])
  }
  log.add([event('2026-01-01T00:00:09.000Z', 'one')])
  const one = join(at.path, 'events', 'one.ndjson')
  await appendFile(one, '{"time":"2026')
  assert.equal(heard, ['one', 'two'])
  assert.is((await log.past(null, null)).length, 3)
  assert.is((await log.past('one', null)).length, 2)
  assert.is((await log.past(null, '2026-01-01T00:00:05Z')).length, 2)
  assert.match(await readFile(one, 'utf8'), 'container.started')
  // The next agent begins a line of its own behind the torn one.
  new EventLog(at.path).add([event('2026-01-01T00:00:10.000Z', 'one')])
  assert.is((await log.past('one', null)).length, 3)
})

test('what cannot be written down is still told, and stops nobody', async () => {
  await using at = await folder()
  await writeFile(join(at.path, 'events'), 'in the way')
  const log = new EventLog(at.path)
  const heard: string[] = []
  using _ = log.subscribe(({ type }) => heard.push(type))
  const event = { time: '2026-01-01T00:00:00.000Z', project: 'one', because: null } as const
  log.add([{ ...event, type: 'container.started', on: 'service/a/1' }])
  assert.equal(heard, ['container.started'])
  const run = beginJournal(join(at.path, 'events', 'x'), BEGIN)
  run.step('x', 'done')
  run.end('2026-01-01T00:00:01Z', true)
})

test('history is bounded: by project, by line, by the number of projects', async () => {
  await using at = await folder()
  const log = new EventLog(at.path)
  const fact = 'x'.repeat(5000)
  const add = (project: string) =>
    log.add([
      {
        time: '2026-01-01T00:00:00.000Z',
        project,
        type: 'network.created',
        on: 'network/a',
        because: { kind: 'drift', fact },
      },
    ])
  for (let count = 0; count < 2000; count += 1) add('noisy')
  const events = join(at.path, 'events')
  for (const name of ['noisy.ndjson', 'noisy.ndjson.1'])
    assert.ok((await stat(join(events, name))).size < 600_000)
  for (let count = 0; count < 110; count += 1) add(`p${count}`)
  const names = (await readdir(events)).filter((name) => name.endsWith('.ndjson'))
  assert.is(names.length, 100)
})

test.run()
