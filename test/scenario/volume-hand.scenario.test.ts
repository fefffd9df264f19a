// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { containers, lacking, type PlanJson, runs, stage } from './stage.ts'

interface Facts {
  readonly name: string
  readonly project: string | null
  readonly mountpoint: string
  readonly labels: Readonly<Record<string, string>>
  readonly containers: readonly { readonly project: string; readonly name: string }[]
}

const writes = (word: string): string => runs(`echo ${word} >> /data/log; exec sleep 100000`)

const project = (name: string, word: string, volumes: string): string => `name: ${name}
containers:
  app:
    ${writes(word).replaceAll('./rootfs', '../rootfs')}
    volumes: ["data:/data"]
volumes:
  data: ${volumes}
`

const facts = async (pak: PakSandbox, name: string): Promise<Facts> => {
  const [found] = JSON.parse(await pak.ok(['volume', 'inspect', name])) as Facts[]
  assert.ok(found)
  return found as Facts
}

testUnless(
  test,
  lacking,
  'a volume made by hand is had by two projects and outlives both; nothing of it is removed from under them',
  async () => {
    await using pak = await stage()
    await pak.write('one/pak.yaml', project('pakto', 'one', '{ external: true, name: archive }'))
    await pak.write('two/pak.yaml', project('paktt', 'two', '{ external: true, name: archive }'))
    const inFolder = (folder: string, ...words: readonly string[]) =>
      pak.run(['-f', `${folder}/pak.yaml`, ...words])
    const early = await inFolder('one', 'up', '-d')
    assert.is(early.exitCode, 1)
    assert.match(early.stderr, /volume `archive`: there is none/)
    assert.match(early.stderr, /pak volume create archive makes it/)
    assert.equal(await containers(pak, '-p', 'pakto'), {})

    await pak.ok(['volume', 'create', '--label', 'team=shop', 'archive'])
    const twice = await pak.run(['volume', 'create', 'archive'])
    assert.match(twice.stderr, /create volume `archive`: there is one/)
    for (const folder of ['one', 'two'])
      assert.is((await inFolder(folder, 'up', '-d')).exitCode, 0, folder)
    const plan = JSON.parse((await inFolder('one', 'plan', '--format', 'json')).stdout) as PlanJson
    assert.equal(plan.steps, [])
    const { mountpoint, ...rest } = await facts(pak, 'archive')
    assert.equal([rest.labels, rest.project], [{ team: 'shop' }, null])
    assert.equal(
      new Set(rest.containers.map((one) => `${one.project} ${one.name}`)),
      new Set(['paktt paktt-app-1', 'pakto pakto-app-1']),
    )
    const log = async () => (await readFile(join(mountpoint, 'log'), 'utf8')).trim().split('\n')
    assert.equal(new Set(await log()), new Set(['one', 'two']))

    const held = await pak.run(['volume', 'rm', 'archive'])
    assert.match(held.stderr, /container pakt[ot]-app-1 of project pakt[ot] has it/)
    assert.is((await pak.ok(['volume', 'prune', '-f'])).trim(), '')
    for (const folder of ['one', 'two'])
      assert.is((await inFolder(folder, 'down', '-v')).exitCode, 0, folder)
    assert.equal(new Set(await log()), new Set(['one', 'two']))
    const nobody = await pak.run(['volume', 'prune'])
    assert.match(nobody.stderr, /there is nobody to ask/)
    assert.is((await pak.ok(['volume', 'prune', '-f'])).trim(), 'archive')
    assert.not.ok(existsSync(mountpoint))
    assert.equal(await pak.json(['volume', 'ls']), [])
  },
)

testUnless(
  test,
  lacking,
  "a volume of another project is had by its name, and does not go with its project's down -v meanwhile",
  async () => {
    await using pak = await stage()
    await pak.write('one/pak.yaml', project('pakto', 'one', '{}'))
    await pak.write('two/pak.yaml', project('paktt', 'two', '{ external: true, name: pakto_data }'))
    await pak.ok(['-f', 'one/pak.yaml', 'up', '-d'])
    const compose = await pak.run(['-f', 'two/pak.yaml', 'up', '-d'])
    assert.match(compose.stderr, /volume data of project pakto is `pakto\/data`/)
    await pak.write('two/pak.yaml', project('paktt', 'two', '{ external: true, name: pakto/data }'))
    await pak.ok(['-f', 'two/pak.yaml', 'up', '-d'])
    const { mountpoint } = await facts(pak, 'pakto/data')
    const log = await readFile(join(mountpoint, 'log'), 'utf8')
    assert.equal(log.trim().split('\n').sort(), ['one', 'two'])

    const down = await pak.run(['-f', 'one/pak.yaml', 'down', '-v'])
    assert.is(down.exitCode, 1)
    assert.match(down.stderr, /remove volume `data`: paktt-app-1 of project paktt has it/)
    await pak.ok(['-f', 'one/pak.yaml', 'down'])
    assert.is((await pak.ok(['volume', 'prune', '-f'])).trim(), '')
    await pak.ok(['-f', 'two/pak.yaml', 'down', '-v'])
    assert.ok(existsSync(mountpoint))
    assert.is((await pak.ok(['volume', 'prune', '-f', '--all'])).trim(), 'pakto/data')
    assert.not.ok(existsSync(mountpoint))
  },
)

test.run()
