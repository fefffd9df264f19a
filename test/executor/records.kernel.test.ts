import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { layoutOf } from '../../src/executor/linux/layout.ts'
import { type ContainerRecord, RecordStore } from '../../src/executor/linux/records.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import { PLAIN } from '../support/spec.ts'

const RUN = { pid: 7, startTicks: '9', startedAt: '2026-01-01T00:00:00Z' }
const RECORD: ContainerRecord = {
  name: 'shop-web-1',
  id: 'a'.repeat(64),
  service: 'web',
  replica: 1,
  spec: PLAIN,
  dependsOn: [],
  imageDigest: null,
  createdAt: '2026-01-01T00:00:00Z',
  restartCount: 0,
  addresses: {},
  run: null,
  exit: null,
}

/** A state root of which one agent after the other takes up the records. */
async function stateRoot() {
  const root = await mkdtemp(join(tmpdir(), 'pakt-records-'))
  const layout = layoutOf({ root, runRoot: join(root, 'run') })
  return {
    agent: () => new RecordStore(hostKernel, layout),
    file: join(layout.project('shop'), 'containers', 'shop-web-1.json'),
    [Symbol.asyncDispose]: () => rm(root, { recursive: true, force: true }),
  }
}

const web = async (store: RecordStore) => (await store.of('shop')).containers.get('shop-web-1')
const linesOf = async (file: string) => (await readFile(file, 'utf8')).trimEnd().split('\n')

test('changes are lines below the record, and the next agent knows them', async () => {
  await using state = await stateRoot()
  const store = state.agent()
  await store.putContainer('shop', RECORD)
  await store.putContainer('shop', { ...RECORD, run: RUN })
  await store.putContainer('shop', { ...RECORD, run: RUN, restartCount: 2 })
  const [whole = '', ...changes] = await linesOf(state.file)
  assert.is(JSON.parse(whole).service, 'web')
  assert.equal(
    changes.map((line) => JSON.parse(line)),
    [{ run: RUN }, { restartCount: 2 }],
  )
  assert.equal(await web(state.agent()), { ...RECORD, run: RUN, restartCount: 2 })
})

test('a change that was cut off never was, and the next one does not stick to it', async () => {
  await using state = await stateRoot()
  await state.agent().putContainer('shop', RECORD)
  await appendFile(state.file, '{"run":{"pid":7,"sta')
  const store = state.agent()
  assert.equal(await web(store), RECORD)
  await store.putContainer('shop', { ...RECORD, restartCount: 1 })
  assert.is((await linesOf(state.file)).length, 1)
  assert.equal(await web(state.agent()), { ...RECORD, restartCount: 1 })
})

test('a record that changes for ever stays short', async () => {
  await using state = await stateRoot()
  const store = state.agent()
  for (let restartCount = 0; restartCount < 100; restartCount += 1)
    await store.putContainer('shop', { ...RECORD, restartCount })
  assert.ok((await linesOf(state.file)).length <= 32)
  assert.is((await web(state.agent()))?.restartCount, 99)
})

test('what somebody else did to the file is said', async () => {
  await using state = await stateRoot()
  const store = state.agent()
  await store.putContainer('shop', RECORD)
  await writeFile(state.file, `${JSON.stringify(RECORD)}\nno change\n{"restartCount":1}\n`)
  try {
    await web(state.agent())
    assert.unreachable()
  } catch (error) {
    assert.instance(error, PakError)
    assert.match(String(error), 'it is damaged')
  }
  await rm(state.file)
  // Lines of changes without what they change would be worse than none.
  await store.putContainer('shop', { ...RECORD, run: RUN }).catch(() => {})
  await store.putContainer('shop', { ...RECORD, run: RUN })
  assert.equal(await web(state.agent()), { ...RECORD, run: RUN })
})

test.run()
