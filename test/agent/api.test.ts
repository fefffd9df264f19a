import { EventEmitter, once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AgentClient } from '../../src/agent/client.ts'
import type { AgentParts } from '../../src/agent/parts.ts'
import { serve } from '../../src/agent/serve.ts'
import type { OperationLine, ResultLine } from '../../src/agent/wire.ts'
import { PakError } from '../../src/errors.ts'
import { type MemoryExecutor, memoryExecutor } from '../../src/executor/memory/memory.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import { eventually } from '../support/eventually.ts'
import { DOWN, memoryParts, project, testRoots, UP } from './parts.ts'

interface Served extends AsyncDisposable {
  readonly agent: AgentClient
  readonly socket: string
  readonly runRoot: string
  readonly executor: MemoryExecutor
  readonly exits: number
}

/** The agent's API in this process, on a socket of its own. */
async function served(overrides: Partial<AgentParts> = {}): Promise<Served> {
  const roots = await testRoots()
  await mkdir(roots.root, { recursive: true })
  await mkdir(roots.runRoot, { recursive: true })
  const socket = join(roots.runRoot, 'pak.sock')
  const executor = memoryExecutor()
  let exits = 0
  const desk = await serve({
    roots,
    kernel: hostKernel,
    version: '1.2.3',
    parts: async () => memoryParts(executor, overrides),
    api: { path: socket },
    dns: null,
    exit: () => {
      exits += 1
    },
    stay: false,
    succeed: null,
  })
  return {
    agent: new AgentClient(socket, null),
    socket,
    runRoot: roots.runRoot,
    executor,
    get exits() {
      return exits
    },
    async [Symbol.asyncDispose]() {
      if (exits === 0) await desk.leaveNow()
      await roots[Symbol.asyncDispose]()
    },
  }
}

async function lines(stream: AsyncIterable<OperationLine>): Promise<OperationLine[]> {
  const all: OperationLine[] = []
  for await (const line of stream) all.push(line)
  return all
}

async function result(stream: AsyncIterable<OperationLine>): Promise<ResultLine> {
  const last = (await lines(stream)).at(-1)
  if (last?.type !== 'result') throw new Error(`no result: ${JSON.stringify(last)}`)
  return last
}

const upOf = (name: string, services: readonly string[]) => ({
  desired: project(name, services),
  options: UP,
  expectedPlan: null,
})

/** One request as it is, with any headers. */
function raw(
  socketPath: string,
  options: { method?: string; path: string; headers?: Record<string, string>; body?: string },
): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'pak', ...options.headers }
    const request = httpRequest({ socketPath, ...options, headers }, async (response) => {
      let text = ''
      for await (const chunk of response) text += String(chunk)
      resolve({ status: response.statusCode, text })
    })
    request.once('error', reject)
    request.end(options.body)
  })
}

test('up streams the plan, the steps and the result; ps, inspect and events show them', async () => {
  await using at = await served()
  const all = await lines(at.agent.up('shop', upOf('shop', ['a'])))
  assert.is(all[0]?.type, 'plan')
  assert.is(all.at(-1)?.type, 'result')
  const rows = await at.agent.containers('shop')
  assert.equal(
    rows.map(({ container, state }) => [container, state]),
    [['shop-a-1', 'running']],
  )
  assert.is((await at.agent.containers(null)).length, 1)
  assert.is((await at.agent.inspect('shop')).containers.length, 1)
  assert.equal((await at.agent.status()).projects, ['shop'])
  const types: string[] = []
  for await (const event of at.agent.events({ project: 'shop', since: null, follow: false }))
    types.push(event.type)
  const made = ['project.created', 'container.created', 'container.started']
  assert.equal(types, ['plan.began', ...made, 'plan.ended'])
})

test('a plan changes nothing, and an up with a plan that is stale is refused', async () => {
  await using at = await served()
  const { desired, options } = upOf('shop', ['a'])
  const { plan, problems } = await at.agent.plan('shop', { desired, options })
  assert.ok(plan.steps.length > 0)
  assert.equal(problems, [])
  assert.equal((await at.agent.status()).projects, [])
  assert.ok((await result(at.agent.up('shop', { desired, options, expectedPlan: plan }))).ok)
  const error = await lines(at.agent.up('shop', { desired, options, expectedPlan: plan })).catch(
    (caught: unknown) => caught,
  )
  assert.instance(error, PakError)
  assert.is((error as PakError).code, 'plan_stale')
})

/** An agent that counts how often it looks at the machine. */
async function watched(): Promise<{ readonly at: Served; readonly looks: () => number }> {
  const executor = memoryExecutor()
  let looks = 0
  const inspect: typeof executor.inspect = (scope, signal) => {
    looks += 1
    return executor.inspect(scope, signal)
  }
  return { at: await served({ executor: { ...executor, inspect } }), looks: () => looks }
}

test('while the manifest of an up is on its way the machine is looked at', async () => {
  const { at: opened, looks } = await watched()
  await using at = opened
  const reading = new EventEmitter()
  const request = once(reading, 'read').then(() => upOf('shop', ['a']))
  const stream = at.agent.upPending('shop', request)
  await eventually('it looks', () => looks() > 0)
  reading.emit('read')
  assert.ok((await result(stream)).ok)
  assert.is((await at.agent.containers('shop')).length, 1)
})

test('an up whose manifest turns out wrong is taken back, and nobody waits for it', async () => {
  const { at: opened, looks } = await watched()
  await using at = opened
  const reading = new EventEmitter()
  const wrong = new PakError('manifest', 'pak.yaml: not a map')
  const request = once(reading, 'read').then(() => {
    throw wrong
  })
  const stream = at.agent.upPending('shop', request)
  await eventually('it looks', () => looks() > 0)
  reading.emit('read')
  assert.is(await lines(stream).catch((error: unknown) => error), wrong)
  assert.equal((await at.agent.status()).projects, [])
  assert.ok((await result(at.agent.up('shop', upOf('shop', ['a'])))).ok)
})

test('an up that is for another project than its address is refused', async () => {
  await using at = await served()
  const stream = at.agent.upPending('shop', Promise.resolve(upOf('other', ['a'])))
  const error = await lines(stream).catch((caught: unknown) => caught)
  assert.instance(error, PakError)
  assert.equal((await at.agent.status()).projects, [])
})

test('ten ups at once are done one after the other, and the last one wins', async () => {
  await using at = await served()
  const ups = Array.from({ length: 10 }, (_, index) =>
    result(
      at.agent.up('shop', {
        ...upOf('shop', [`s${index}`]),
        options: { ...UP, removeOrphans: true },
      }),
    ),
  )
  assert.ok((await Promise.all(ups)).every(({ ok }) => ok))
  assert.is((await at.agent.containers('shop')).length, 1)
})

test('a step that fails is in the result as data', async () => {
  await using at = await served()
  const error = new PakError('command_not_found', 'start `shop-a-1`: no such command', {
    hint: 'x',
  })
  at.executor.failNext('container.start:service/a/1', error)
  const { ok, failed } = await result(at.agent.up('shop', upOf('shop', ['a'])))
  assert.not(ok)
  assert.equal(failed[0]?.error, { code: 'command_not_found', message: error.message, hint: 'x' })
})

test('what a user behind pak changes is put right', async () => {
  await using at = await served()
  await result(at.agent.up('shop', upOf('shop', ['a', 'b'])))
  const restartAt = new Date(Date.now() + 20).toISOString()
  at.executor.crash('shop', 'shop-a-1', { exitCode: 137, restartAt })
  await eventually('running again', async () => {
    const rows = await at.agent.containers('shop')
    return rows.every(({ state }) => state === 'running')
  })
})

test('the last down cleans up, names who leaves, and exits', async () => {
  await using at = await served()
  await result(at.agent.up('shop', upOf('shop', ['a'])))
  await result(at.agent.up('other', upOf('other', ['a'])))
  const down = { desired: null, options: DOWN }
  assert.equal((await result(at.agent.down('shop', down))).leaving, [])
  assert.is(at.exits, 0)
  const stream = at.agent.down('other', down)[Symbol.asyncIterator]()
  // This very process would be waited for: look at what is on the disk instead.
  void stream.next().then(() => stream.next().then(() => stream.next()))
  await eventually('exit', () => at.exits === 1)
  assert.not(await hostKernel.exists(at.runRoot))
})

test('requests that only a browser could send are refused', async () => {
  await using at = await served()
  const path = '/v1/status'
  assert.is((await raw(at.socket, { path })).status, 200)
  assert.is((await raw(at.socket, { path, headers: { host: 'evil.test' } })).status, 403)
  assert.is((await raw(at.socket, { path, headers: { origin: 'http://localhost' } })).status, 403)
  assert.is((await raw(at.socket, { path, headers: { 'sec-fetch-site': 'none' } })).status, 403)
})

test('bodies and names that are wrong are refused at the door', async () => {
  await using at = await served()
  const post = (path: string, body: string) => raw(at.socket, { method: 'POST', path, body })
  assert.is((await post('/v1/projects/shop/up', '{')).status, 400)
  assert.is((await post('/v1/projects/shop/up', '[]')).status, 400)
  assert.is((await post('/v1/projects/..%2f..%2fetc/up', '{}')).status, 400)
  assert.is((await post('/v1/projects/a%00b/down', '{}')).status, 400)
  assert.is((await post('/v1/projects/%E0%A4%A/down', '{}')).status, 400)
  assert.is((await post('/v1/nothing', '{}')).status, 404)
  const other = JSON.stringify(upOf('other', ['a']))
  assert.is((await post('/v1/projects/shop/up', other)).status, 400)
  const named = JSON.stringify(upOf('shop', ['a\nb']))
  assert.is((await post('/v1/projects/shop/up', named)).status, 400)
  const kill = JSON.stringify({ action: 'kill', options: { signal: '$(id)' } })
  assert.is((await post('/v1/projects/shop/action', kill)).status, 400)
})

test('a body of 17 MiB is refused, and the agent lives', async () => {
  await using at = await served()
  const body = `{"x":"${'x'.repeat(17 * 1024 * 1024)}"}`
  const answer = await raw(at.socket, { method: 'POST', path: '/v1/projects/shop/up', body }).catch(
    (error: unknown) => error,
  )
  if (!(answer instanceof Error)) assert.is((answer as { status: number }).status, 413)
  assert.is((await at.agent.status()).version, '1.2.3')
})

test('an upload that is refused, at once or in the middle, hears why', async () => {
  const refusal = new PakError('conflict', 'copy: not now')
  const writes: readonly ((from: Readable) => Promise<void>)[] = [
    () => Promise.reject(refusal),
    async (from) => {
      for await (const _ of from) throw refusal
    },
  ]
  for (const write of writes) {
    await using at = await served({
      files: { read: async () => {}, write: (_, from) => write(from) },
    })
    const place = { project: 'shop', container: 'shop-a-1', path: '/x' }
    for (let round = 0; round < 20; round += 1) {
      // The first piece with the head, the others while the answer is on its way.
      const pieces = Array.from({ length: 1 + (round % 4) * 8 }, () => Buffer.alloc(65_536))
      const error = await at.agent
        .writeFiles(place, Readable.from(pieces))
        .catch((caught: unknown) => caught)
      assert.is((error as PakError).message, refusal.message)
    }
    assert.is((await at.agent.status()).version, '1.2.3')
  }
})

test('a client that goes away from a refused upload takes nobody with it', async () => {
  const refused = new EventEmitter()
  await using at = await served({
    files: {
      read: async () => {},
      write: async () => {
        refused.emit('refused')
        throw new PakError('conflict', 'copy: not now')
      },
    },
  })
  const client = connect(at.socket)
  const path = '/v1/files?project=shop&container=shop-a-1&path=%2Fx'
  const heard = once(refused, 'refused')
  client.write(
    `POST ${path} HTTP/1.1\r\nHost: pak\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
  )
  await heard
  client.destroy()
  await eventually('the request is over', async () => (await at.agent.status()).version === '1.2.3')
  // What is thrown where nobody listens ends this process.
  await new Promise((resolve) => setTimeout(resolve, 200))
})

test('a bug on the other side is told as the bug that it is', async () => {
  await using at = await served({
    settle: () => Promise.reject(new TypeError('nobody thought of this')),
  })
  const error = await result(at.agent.up('shop', upOf('shop', ['a']))).catch(
    (caught: unknown) => caught,
  )
  assert.instance(error, Error)
  assert.match((error as Error).message, 'nobody thought of this')
})

test('a follower hears what happens; one that stalls blocks nobody', async () => {
  await using at = await served()
  const stalled = connect(at.socket)
  stalled.write('GET /v1/events?follow=true HTTP/1.1\r\nHost: pak\r\n\r\n')
  stalled.pause()
  const ended = new AbortController()
  const heard: string[] = []
  const following = (async () => {
    const query = { project: 'shop', since: null, follow: true }
    for await (const event of at.agent.events(query, ended.signal)) heard.push(event.type)
  })().catch((error: unknown) => error)
  await result(at.agent.up('other', upOf('other', ['a'])))
  await result(at.agent.up('shop', upOf('shop', ['a'])))
  await eventually('five events', () => heard.length === 5)
  ended.abort()
  assert.is(((await following) as PakError).code, 'cancelled')
  stalled.destroy()
})

test('a client that goes away ends its up, unless that is detached', async () => {
  await using at = await served()
  const leave = new AbortController()
  const stream = at.agent.up('shop', upOf('shop', ['a']), leave.signal)
  leave.abort()
  const error = await lines(stream).catch((caught: unknown) => caught)
  assert.is((error as PakError).code, 'cancelled')
})

test('a measurement has a length, and that has a bound', async () => {
  await using at = await served()
  assert.equal(await at.agent.stats({ project: 'shop', sampleMs: 10 }), [])
  assert.equal(await at.agent.top({ project: null, sampleMs: 0 }), [])
  for (const sampleMs of [-1, 60_001, Number.NaN, 1e21])
    assert.is(
      await at.agent.stats({ project: 'shop', sampleMs }).catch((error: PakError) => error.code),
      'usage',
    )
})

test('asking for what is not there is an error of its own', async () => {
  await using at = await served({
    volumes: {
      list: async () => [],
      create: async () => {},
      remove: async ({ name }) => {
        throw new PakError('not_found', `remove volume \`${name}\`: no such volume`)
      },
    },
  })
  const error = await at.agent
    .removeVolume({ owner: 'shop', name: 'data' })
    .catch((caught: unknown) => caught)
  assert.is((error as PakError).code, 'not_found')
})

test.run()
