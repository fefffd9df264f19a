// not in the emulated machine: its page gives up on a part after one second, which code there does not keep
// alone: its page gives up on a part after one second
import * as fs from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type PakSandbox, pakSandbox } from '../support/pak.ts'
import { hostLacks, testUnless } from '../support/skip.ts'

const EXAMPLE = join(import.meta.dirname, '..', '..', 'examples', 'hello')
const lacking = hostLacks('crun', 'conmon', 'nft', 'ip')

testUnless(
  test,
  lacking,
  'the page shows that web, api and store found each other by name',
  async () => {
    await using sandbox = await pakSandbox()
    const { url } = await copyExample(sandbox)
    await sandbox.ok(['up', '-d', '--wait'])
    const page = await fetchText(url)
    assert.match(page, 'Hello from pak! You are visitor 1.')
    assert.match(page, /api +\d+\.\d+\.\d+\.\d+ +was found by web/)
    assert.match(page, /store +\d+\.\d+\.\d+\.\d+ +was found by api/)
    assert.match(page, 'web cannot find "store"')
  },
)

testUnless(test, lacking, 'the count outlives down and up, and is gone after down -v', async () => {
  await using sandbox = await pakSandbox()
  const { url } = await copyExample(sandbox)
  await sandbox.ok(['up', '-d', '--wait'])
  await fetchText(url)
  await sandbox.ok(['down'])
  await sandbox.ok(['up', '-d', '--wait'])
  assert.match(await fetchText(url), 'visitor 2')
  await sandbox.ok(['down', '-v'])
  await sandbox.ok(['up', '-d', '--wait'])
  assert.match(await fetchText(url), 'visitor 1')
})

testUnless(
  test,
  lacking,
  'up again does nothing; a changed variable is one recreate with its reason',
  async () => {
    await using sandbox = await pakSandbox()
    const { text } = await copyExample(sandbox)
    await sandbox.ok(['up', '-d', '--wait'])
    const before = await pids(sandbox)
    assert.is(Object.keys(before).length, 3)
    await sandbox.ok(['up', '-d'])
    assert.equal(await pids(sandbox), before)
    assert.is((await sandbox.run(['plan', '--detailed-exitcode'])).exitCode, 0)

    await sandbox.write('pak.yaml', text.replace('Hello from pak', 'Good day'))
    assert.is((await sandbox.run(['plan', '--detailed-exitcode'])).exitCode, 2)
    const plan = await sandbox.json<PlanJson>(['plan'])
    assert.is(plan.summary.recreate, 1)
    assert.ok(plan.steps.every(({ on }) => on === 'service/web/1' || on.startsWith('project/')))
    assert.ok(
      plan.steps.some(({ because }) =>
        because.fields?.some(
          ({ path, from, to }) =>
            path === 'environment.GREETING' && from === 'Hello from pak' && to === 'Good day',
        ),
      ),
    )
    await sandbox.ok(['up', '-d', '--wait'])
    const after = await pids(sandbox)
    assert.is(after['store'], before['store'])
    assert.is(after['api'], before['api'])
    assert.is.not(after['web'], before['web'])
  },
)

interface PlanJson {
  readonly summary: { readonly recreate: number }
  readonly steps: readonly {
    readonly on: string
    readonly because: {
      readonly fields?: readonly {
        readonly path: string
        readonly from: unknown
        readonly to: unknown
      }[]
    }
  }[]
}

/** The example in the sandbox's folder, on a port that is free now. */
async function copyExample(sandbox: PakSandbox): Promise<{ url: string; text: string }> {
  await fs.cp(join(EXAMPLE, 'services'), join(sandbox.folder, 'services'), { recursive: true })
  const port = await freePort()
  const original = await fs.readFile(join(EXAMPLE, 'pak.yaml'), 'utf8')
  const text = original.replace('"8088:8080"', `"${port}:8080"`)
  assert.is.not(text, original)
  await sandbox.write('pak.yaml', text)
  return { url: `http://127.0.0.1:${port}/`, text }
}

async function fetchText(url: string): Promise<string> {
  const response = await fetch(url)
  return response.text()
}

async function pids(sandbox: PakSandbox): Promise<Record<string, number>> {
  const rows = await sandbox.json<{ service: string; pid: number }[]>(['ps'])
  return Object.fromEntries(rows.map(({ service, pid }) => [service, pid]))
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '0.0.0.0', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0))
    })
  })
}

test.run()
