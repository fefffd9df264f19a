import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readLogs } from '../../src/telemetry/logs.ts'
import { advanceLog, beginLog, removeLog } from '../../src/telemetry/rotation.ts'

const MAX_BYTES = 4096

/** A log with a monitor that writes it as conmon does, file by file. */
async function monitored(maxFiles: number, maxBytes = MAX_BYTES) {
  const root = await fs.mkdtemp(join(tmpdir(), 'pakt-rotation-'))
  const path = join(root, 'projects/shop/logs/shop-web-1.log')
  await fs.mkdir(dirname(path), { recursive: true })
  let mostBytes = 0
  let written = 0
  const monitor = {
    root,
    path,
    begin: async () => {
      mostBytes = await beginLog(path, { maxBytes, maxFiles })
      written = 0
    },
    /** `P ` begins an entry that goes on; true: it went on to another file for it. */
    write: async (text: string, stream = 'stdout') => {
      const entry = `2026-01-01T00:00:00.000000001Z ${stream} ${text}\n`
      const rotates = written + entry.length > mostBytes
      if (rotates) {
        await fs.writeFile(`${path}.tmp`, '')
        await fs.rename(`${path}.tmp`, path)
        written = 0
      }
      await fs.appendFile(path, entry)
      written += entry.length
      return rotates
    },
    advance: () => advanceLog(path, maxFiles),
    bytes: async () => {
      const folder = join(dirname(path), 'kept')
      const sizes = (await fs.readdir(folder))
        .filter((name) => !name.endsWith('.broken'))
        .map(async (name) => (await fs.stat(join(folder, name))).size)
      const plain = (await fs.lstat(path)).isFile() ? [(await fs.stat(path)).size] : []
      return [...(await Promise.all(sizes)), ...plain].reduce((sum, size) => sum + size, 0)
    },
    texts: async (tail: number | null = null) => {
      const found: string[] = []
      for await (const { text } of readLogs({
        root,
        project: 'shop',
        services: [],
        follow: false,
        tail,
        sinceMs: null,
        untilMs: null,
        signal: new AbortController().signal,
      }))
        found.push(String(text))
      return found
    },
    [Symbol.asyncDispose]: () => fs.rm(root, { recursive: true, force: true }),
  }
  await monitor.begin()
  return monitor
}

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => String(from + at))

test('the last files are kept, whole and in order; what is older goes', async () => {
  await using log = await monitored(3)
  for (const text of numbers(0, 1000)) {
    if (await log.write(`F ${text}`)) await log.advance()
    assert.ok((await log.bytes()) <= 3 * MAX_BYTES)
  }
  const texts = await log.texts()
  assert.equal(texts, numbers(1000 - texts.length, 1000))
  assert.ok((await log.bytes()) > 2 * MAX_BYTES)
  assert.equal(await log.texts(150), numbers(850, 1000))
})

test('without anybody to look after it, the disk is bounded and the newest are there', async () => {
  await using log = await monitored(3)
  for (const text of numbers(0, 500)) if (await log.write(`F ${text}`)) await log.advance()
  for (const text of numbers(500, 2000)) await log.write(`F ${text}`)
  assert.ok((await log.bytes()) <= 5 * MAX_BYTES)
  assert.is((await log.texts(1))[0], '1999')
  // Looked after again: nothing that is there is lost, and the numbers do not claim what is not there.
  await log.advance()
  for (const text of numbers(2000, 2010)) if (await log.write(`F ${text}`)) await log.advance()
  const texts = await log.texts()
  assert.equal(texts.slice(-10), numbers(2000, 2010))
  assert.equal(
    texts,
    [...texts].sort((a, b) => Number(a) - Number(b)),
  )
  assert.is(new Set(texts).size, texts.length)
})

test('a monitor that starts again appends, and takes what is there off its share', async () => {
  await using log = await monitored(2)
  for (const text of numbers(0, 40)) {
    await log.write(`F ${text}`)
    await log.begin()
    assert.ok((await log.bytes()) <= 2 * MAX_BYTES)
  }
  assert.equal(await log.texts(), numbers(0, 40))
  for (const text of numbers(40, 600)) {
    if (await log.write(`F ${text}`)) await log.advance()
    if (Number(text) % 7 === 0) await log.begin()
    assert.ok((await log.bytes()) <= 2 * MAX_BYTES)
  }
  const texts = await log.texts()
  assert.equal(texts, numbers(600 - texts.length, 600))
})

test('one file: the monitor cuts it by itself', async () => {
  await using log = await monitored(1)
  for (const text of numbers(0, 1000)) {
    if (await log.write(`F ${text}`)) await log.advance()
    assert.ok((await log.bytes()) <= MAX_BYTES)
  }
  const texts = await log.texts()
  assert.equal(texts.slice(-10), numbers(990, 1000))
})

test('half of a line whose begin is gone is no line; a whole one of the other stream stays', async () => {
  await using log = await monitored(2)
  for (const text of numbers(0, 400)) {
    for (const entry of [`P ${text}`, `P ${'x'.repeat(500)}`, `F ${text}.`])
      if (await log.write(entry)) await log.advance()
    if (Number(text) % 10 === 0 && (await log.write(`F err ${text}`, 'stderr'))) await log.advance()
    const texts = await log.texts()
    for (const found of texts) assert.match(found, /^(err \d+|(\d+)x{500}\2\.)$/)
    if (Number(text) % 10 === 0) assert.ok(texts.includes(`err ${text}`))
  }
})

test('of a line without an end the newest part is shown', async () => {
  await using log = await monitored(2, 200_000)
  for (let at = 0; at < 300; at += 1)
    if (await log.write(`P ${String(at).padStart(3, '0')}${'x'.repeat(8000)}`)) await log.advance()
  const shown = (await log.texts()).join('')
  assert.ok(shown.length > 100_000)
  assert.match(shown, /299x{8000}$/)
})

test('a removed log leaves nothing', async () => {
  await using log = await monitored(3)
  for (const text of numbers(0, 500)) if (await log.write(`F ${text}`)) await log.advance()
  await removeLog(log.path)
  assert.equal(await fs.readdir(dirname(log.path)), ['kept'])
  assert.equal(await fs.readdir(join(dirname(log.path), 'kept')), [])
})

test('a plain file of an earlier time is taken over', async () => {
  await using log = await monitored(3)
  await removeLog(log.path)
  await fs.writeFile(log.path, '2026-01-01T00:00:00.000000001Z stdout F old\n')
  await log.begin()
  await log.write('F new')
  assert.equal(await log.texts(), ['old', 'new'])
})

test.run()
