import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type LogRequest, readLogs } from '../../src/telemetry/logs.ts'
import { advanceLog, beginLog } from '../../src/telemetry/rotation.ts'
import { eventually } from '../support/eventually.ts'

const START = Date.parse('2026-01-01T00:00:00Z')

interface LogFolder extends AsyncDisposable {
  readonly root: string
  path(container: string): string
  write(name: string, lines: readonly string[]): Promise<void>
  append(container: string, text: string): Promise<void>
  /** What a monitor does when its file is full. */
  rotate(container: string): Promise<void>
  request(change?: Partial<LogRequest>): LogRequest
}

async function logFolder(): Promise<LogFolder> {
  const root = await fs.mkdtemp(join(tmpdir(), 'pakt-logs-'))
  const path = (container: string) => join(root, 'projects/shop/logs', `${container}.log`)
  await fs.mkdir(join(dirname(path('x')), 'kept'), { recursive: true })
  return {
    root,
    path,
    write: (name, lines) => fs.writeFile(path(name), lines.map((line) => `${line}\n`).join('')),
    append: (container, text) => fs.appendFile(path(container), text),
    rotate: async (container) => {
      await fs.writeFile(`${path(container)}.tmp`, '')
      await fs.rename(`${path(container)}.tmp`, path(container))
    },
    request: (change = {}) => ({
      root,
      project: 'shop',
      services: [],
      follow: false,
      tail: null,
      sinceMs: null,
      untilMs: null,
      signal: new AbortController().signal,
      ...change,
    }),
    [Symbol.asyncDispose]: () => fs.rm(root, { recursive: true, force: true }),
  }
}

/** A CRI line, `second` seconds after the start. */
const line = (second: number, text: string, tag = 'F', stream = 'stdout'): string =>
  `${new Date(START + second * 1000).toISOString().replace('Z', '000000Z')} ${stream} ${tag} ${text}`

async function texts(request: LogRequest): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { source, text, whole } of readLogs(request))
    found.push(`${source.label}: ${text}${whole ? '' : ' ...'}`)
  return found
}

/** Follows in the background; `lines` grows. */
function following(request: LogRequest): { lines: string[]; stop(): Promise<void> } {
  const ending = new AbortController()
  const lines: string[] = []
  const done = (async () => {
    for await (const { source, text } of readLogs({
      ...request,
      follow: true,
      signal: ending.signal,
    }))
      lines.push(`${source.label}: ${text}`)
  })()
  return {
    lines,
    stop: async () => {
      ending.abort()
      await done
    },
  }
}

test('lines of several containers are merged by time, whatever zone they are written in', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [line(1, 'a'), line(4, 'd')])
  await logs.write('shop-db-1', [
    '2026-01-01T02:00:02.000000000+02:00 stderr F b',
    line(3, 'c'),
    line(4.5, 'e'),
  ])
  assert.equal(await texts(logs.request()), [
    'web-1: a',
    'db-1: b',
    'db-1: c',
    'web-1: d',
    'db-1: e',
  ])
})

test('no project, no logs', async () => {
  await using logs = await logFolder()
  assert.equal(await texts(logs.request({ project: 'other' })), [])
})

test('only the services that were asked for; a container_name is known by its record', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [line(1, 'a')])
  await logs.write('database', [line(2, 'b')])
  await fs.mkdir(join(logs.root, 'projects/shop/containers'))
  await fs.writeFile(join(logs.root, 'projects/shop/containers/database.json'), '{"service":"db"}')
  assert.equal(await texts(logs.request({ services: ['db'] })), ['database: b'])
})

test('the last lines of each container, through rotated files and partial lines', async () => {
  await using logs = await logFolder()
  const many = Array.from({ length: 5000 }, (_, at) => line(at, `line ${at} ${'x'.repeat(40)}`))
  await logs.write('shop-web-1', many)
  await logs.write('shop-db-1', [line(1, 'only')])
  const found = await texts(logs.request({ tail: 2 }))
  assert.equal(
    found.map((text) => text.slice(0, 16)),
    ['db-1: only', 'web-1: line 4998', 'web-1: line 4999'],
  )
  await beginLog(logs.path('shop-web-1'), { maxBytes: 10_000_000, maxFiles: 3 })
  await logs.rotate('shop-web-1')
  await logs.write('shop-web-1', [line(6000, 'half ', 'P'), line(6001, 'and half')])
  assert.equal((await texts(logs.request({ services: ['web'], tail: 3 }))).length, 3)
  assert.is((await texts(logs.request({ services: ['web'], tail: 1 })))[0], 'web-1: half and half')
  assert.equal(await texts(logs.request({ tail: 0 })), [])
  assert.is((await texts(logs.request({ services: ['web'] }))).length, 5001)
})

test('since and until', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [line(1, 'a'), line(2, 'b'), line(3, 'c')])
  const range = { sinceMs: START + 2000, untilMs: START + 2500 }
  assert.equal(await texts(logs.request(range)), ['web-1: b'])
})

test('partial lines are put together by stream; one without end is shown as it is', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [
    line(1, 'out ', 'P'),
    line(2, 'err ', 'P', 'stderr'),
    line(3, 'put'),
    line(4, 'or', 'F', 'stderr'),
    line(5, 'prompt> ', 'P'),
  ])
  assert.equal(await texts(logs.request()), [
    'web-1: out put',
    'web-1: err or',
    'web-1: prompt>  ...',
  ])
})

test('torn and foreign lines are left out; bytes stay bytes', async () => {
  await using logs = await logFolder()
  const binary = Buffer.concat([
    Buffer.from(`${line(2, '')}`),
    Buffer.from([0xff, 0x00, 0x1b, 0x0a]),
  ])
  const begin = `garbage\n${line(1, 'a')}\n2026-01-01T00:00:01.5Z stdo`
  await fs.writeFile(logs.path('shop-web-1'), Buffer.concat([Buffer.from(`${begin}\n`), binary]))
  const found = []
  for await (const entry of readLogs(logs.request())) found.push(entry.text)
  assert.equal(found, [Buffer.from('a'), Buffer.from([0xff, 0x00, 0x1b])])
})

test('a line of 8 MB comes in pieces of bounded size', async () => {
  await using logs = await logFolder()
  const piece = 'y'.repeat(8192)
  await logs.write('shop-web-1', [
    ...Array.from({ length: 1024 }, () => line(1, piece, 'P')),
    line(2, 'end'),
  ])
  let size = 0
  let longest = 0
  for await (const { text } of readLogs(logs.request())) {
    size += text.length
    longest = Math.max(longest, text.length)
  }
  assert.is(size, 1024 * 8192 + 3)
  assert.ok(longest < 300_000)
})

test('following shows what is appended, new containers, and goes on after rotation', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [line(1, 'a')])
  const follower = following(logs.request())
  await eventually('the first line', () => follower.lines.length === 1)
  await logs.append('shop-web-1', `${line(2, 'b')}\n`)
  await eventually('the second', () => follower.lines.length === 2)
  await logs.write('shop-db-1', [line(3, 'c')])
  await eventually('another container', () => follower.lines.includes('db-1: c'))
  await logs.append('shop-web-1', `${line(4, 'd')}\n`)
  await advanceLog(logs.path('shop-web-1'), 9)
  await logs.rotate('shop-web-1')
  await logs.write('shop-web-1', [line(5, 'e')])
  await eventually('after rotation', () => follower.lines.includes('web-1: e'))
  // Rotated twice between two looks: the file in the middle is not missed.
  for (const text of ['', line(5.5, 'e and a half\n')]) {
    await advanceLog(logs.path('shop-web-1'), 9)
    await logs.rotate('shop-web-1')
    await logs.append('shop-web-1', text)
  }
  await advanceLog(logs.path('shop-web-1'), 9)
  await logs.rotate('shop-web-1')
  await logs.write('shop-web-1', [line(6, 'f')])
  await eventually('after another', () => follower.lines.includes('web-1: f'))
  await follower.stop()
  assert.equal(follower.lines, [
    'web-1: a',
    'web-1: b',
    'db-1: c',
    'web-1: d',
    'web-1: e',
    'web-1: e and a half',
    'web-1: f',
  ])
})

test('following goes on when the file is removed and made anew, or cut', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [line(1, 'a')])
  const follower = following(logs.request())
  await eventually('the first line', () => follower.lines.length === 1)
  await fs.rm(logs.path('shop-web-1'))
  await logs.write('shop-web-1', [line(2, 'b, and more')])
  await eventually('a new file', () => follower.lines.length === 2)
  await fs.truncate(logs.path('shop-web-1'), 0)
  await logs.append('shop-web-1', `${line(3, 'c')}\n`)
  await eventually('a cut file', () => follower.lines.length === 3)
  await follower.stop()
  assert.equal(follower.lines, ['web-1: a', 'web-1: b, and more', 'web-1: c'])
})

test('following before there is a project waits for its containers', async () => {
  await using logs = await logFolder()
  await fs.rm(join(logs.root, 'projects'), { recursive: true })
  const follower = following(logs.request())
  await fs.mkdir(dirname(logs.path('x')), { recursive: true })
  await logs.write('shop-web-1', [line(1, 'a')])
  await eventually('the line', () => follower.lines.length === 1)
  await follower.stop()
})

test('a prompt without a newline is shown while following, and its rest follows', async () => {
  await using logs = await logFolder()
  await logs.write('shop-web-1', [line(1, 'name? ', 'P')])
  const follower = following(logs.request())
  await eventually('the prompt', () => follower.lines.length === 1)
  await logs.append('shop-web-1', `${line(2, 'pak')}\n`)
  await eventually('the rest', () => follower.lines.length === 2)
  await follower.stop()
  assert.equal(follower.lines, ['web-1: name? ', 'web-1: pak'])
})

test('a follower misses nothing of a writer that does not stop', async () => {
  await using logs = await logFolder()
  const follower = following(logs.request())
  for (let at = 0; at < 300; at += 1) {
    await logs.append('shop-web-1', `${line(at, String(at))}\n`)
    if (at % 60 === 59) {
      await advanceLog(logs.path('shop-web-1'), 9)
      await logs.rotate('shop-web-1')
    }
  }
  await eventually('the last line', () => follower.lines.includes('web-1: 299'))
  await follower.stop()
  assert.equal(
    follower.lines,
    Array.from({ length: 300 }, (_, at) => `web-1: ${at}`),
  )
})

test.run()
