import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { loadManifest } from '../src/manifest/load.ts'

const PROJECT = join(import.meta.dirname, '..')
const readme = await fs.readFile(join(PROJECT, 'README.md'), 'utf8')
const engineers = await fs.readFile(join(PROJECT, 'src', 'README.md'), 'utf8')

const load = (file: string) =>
  loadManifest({
    files: [file],
    cwd: PROJECT,
    projectName: null,
    profiles: [],
    envFiles: [],
    environment: {},
  })

test('the manifest that the README shows is a good one, and so is the example', async () => {
  const shown = [...readme.matchAll(/```yaml\n(name: [\s\S]*?)```/g)].map(([, text]) => text ?? '')
  assert.is(shown.length, 1)
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-readme-'))
  try {
    await fs.writeFile(join(folder, 'pak.yaml'), shown[0] ?? '')
    const services = ['api', 'store', 'web']
    const inReadme = await load(join(folder, 'pak.yaml'))
    assert.equal(
      inReadme.desired.services.map(({ name }) => name),
      services,
    )
    const inExample = await load(join(PROJECT, 'examples/hello/pak.yaml'))
    assert.equal(
      inExample.desired.services.map(({ name }) => name),
      services,
    )
  } finally {
    await fs.rm(folder, { recursive: true })
  }
})

test('every key that the README lists is in the schema', async () => {
  const schema = JSON.parse(await fs.readFile(join(PROJECT, 'schema/pak.schema.json'), 'utf8'))
  const known = new Set(Object.keys(schema.definitions.service.properties))
  const section = readme.slice(readme.indexOf('| what | keys'), readme.indexOf('At the top:'))
  const named = [...section.matchAll(/`([a-z_]+)`/g)].map(([, key]) => key ?? '')
  const ofNetworks = ['aliases', 'interface_name', 'gw_priority']
  const values = ['none', 'host', 'no', 'always', ...ofNetworks]
  assert.ok(named.length > 50)
  assert.equal(
    named.filter(
      (key) => !known.has(key) && !values.includes(key) && !/^(service_|unless)/.test(key),
    ),
    [],
  )
})

test('every file that the READMEs point at is there', async () => {
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path]) => path ?? '')
  const sources = [...engineers.matchAll(/`([a-z-]+(?:\/[a-z-]+)*\.ts|[a-z-]+(?:\/[a-z-]+)*\/)`/g)]
    .map(([, path]) => path ?? '')
    .map((path) => (/^(test|schema)\//.test(path) ? path : join('src', path)))
  for (const path of [...links, ...sources])
    assert.ok(await fs.stat(join(PROJECT, path)).catch(() => null), `${path} is not there`)
})

test.run()
