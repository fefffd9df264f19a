// not in the emulated machine: nothing of it depends on cgroups
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mountRootfs, unmountRootfs } from '../../src/storage/rootfs.ts'
import { privateKernel } from '../storage/private-kernel.ts'
import { dockerArchiveOf, layoutOf, tarOf, tarOfFiles, testStore } from './archives.ts'

const base = tarOf([
  { name: './', type: '5', mode: 0o755 },
  { name: 'gone', content: '1' },
  { name: 'folder/', type: '5', mode: 0o755 },
  { name: 'folder/old', content: '1' },
  { name: 'swap/', type: '5', mode: 0o755 },
  { name: 'swap/old', content: '1' },
  { name: 'kept/', type: '5', mode: 0o1777 },
  { name: 'kept/old', content: '1' },
  { name: 'suid', content: '1', mode: 0o4755, uid: 1000 },
])
const top = tarOf([
  { name: '.wh.gone' },
  { name: 'folder/new', content: '2' },
  { name: 'folder/.wh..wh..opq' },
  { name: '.wh.swap' },
  { name: 'swap/', type: '5', mode: 0o755 },
  { name: 'swap/new', content: '2' },
  { name: 'kept/.wh.never' },
  { name: 'kept/new', content: '2' },
])

const seen = ['folder/new', 'kept/new', 'kept/old', 'suid', 'swap/new']

test('whiteouts and opaque folders hide what is below, through a real overlay', async () => {
  await using host = await privateKernel()
  await using box = await testStore()
  await box.store.load(
    Readable.from([tarOfFiles(layoutOf({ layers: [base, top], reference: 'a:1' }))]),
  )
  const { layers } = await box.store.facts('a:1')
  const target = join(host.folder, 'root')
  const request = { target, lowers: layers, folder: join(host.folder, 'state') }
  assert.equal(await mountRootfs(host.kernel, [request]), [null])
  const found = await host.sh('cd root; find . -type f | sed s,^./,, | sort')
  assert.equal(found.trim().split('\n'), seen)
  assert.is(await host.sh('stat -c "%a %u" root/suid'), '4755 1000\n')
  // A folder that the container makes anew, and one that it removes, must work on such layers too.
  await host.sh('rm -r root/kept; mkdir root/kept; echo x >root/gone; cat root/gone')
  assert.equal(await unmountRootfs(host.kernel, [target]), [null])
})

test('a layer that hides everything below it stands alone', async () => {
  await using box = await testStore()
  const layers = [base, tarOf([{ name: '.wh..wh..opq' }, { name: 'only' }])]
  await box.store.load(Readable.from([tarOfFiles(layoutOf({ layers, reference: 'a:1' }))]))
  assert.is((await box.store.facts('a:1')).layers.length, 1)
})

test('the same layer twice is one lower folder', async () => {
  await using box = await testStore()
  const layers = [base, top, base]
  await box.store.load(Readable.from([tarOfFiles(layoutOf({ layers, reference: 'a:1' }))]))
  assert.is((await box.store.facts('a:1')).layers.length, 2)
})

test('every form of an image gives the same layers', async () => {
  await using box = await testStore()
  const parts = { layers: [base, top], reference: 'ex.test/a:1' }
  const folder = join(box.folder, 'layout')
  const files = layoutOf(parts)
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
  const zstd = (bytes: Buffer) => execFileSync('zstd', ['-q', '-c'], { input: bytes })
  const save = tarOfFiles(dockerArchiveOf(parts))
  const sources: (string | Readable)[] = [
    folder,
    Readable.from([tarOfFiles(files)]),
    Readable.from([gzipSync(tarOfFiles(files))]),
    Readable.from([zstd(tarOfFiles(files))]),
    Readable.from([save]),
    Readable.from([gzipSync(save)]),
    Readable.from([
      tarOfFiles(
        layoutOf({
          ...parts,
          packed: zstd,
          mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
        }),
      ),
    ]),
  ]
  const file = join(box.folder, 'plain.tar')
  await writeFile(file, tarOfFiles(files))
  const all = new Set<string>()
  for (const source of [...sources, file]) {
    const [record] = await box.store.load(source)
    assert.is(record?.reference, 'ex.test/a:1')
    all.add((await box.store.facts('ex.test/a:1')).layers.join())
    await box.store.remove('ex.test/a:1')
    assert.equal(await readdir(join(box.folder, 'images/layers')), [])
  }
  assert.is(all.size, 1)
})

test('images share layers, and the last one takes them along', async () => {
  await using box = await testStore()
  const load = (layers: Buffer[], reference: string) =>
    box.store.load(Readable.from([tarOfFiles(layoutOf({ layers, reference }))]))
  await load([base], 'a:1')
  await load([base, top], 'b:1')
  const store = box.reopen()
  assert.equal(
    (await store.list()).map(({ reference }) => reference),
    ['docker.io/library/a:1', 'docker.io/library/b:1'],
  )
  const digest = (await store.resolve('b:1')) ?? ''
  assert.ok(
    await store.remove('b:1', new Map([[digest, 'shop-web-1']])).then(
      () => false,
      () => true,
    ),
  )
  await store.remove('b:1')
  const { layers } = await store.facts('a:1')
  assert.is(await readFile(join(layers[0] ?? '', 'gone'), 'utf8'), '1')
  assert.is((await readdir(join(box.folder, 'images/layers'))).length, 2)
  assert.is(await store.resolve('b:1'), null)
})

test('what a killed load left is cleared by the next one', async () => {
  await using box = await testStore()
  for (const path of ['scratch/layer-0/f', `layers/${'a'.repeat(64)}/f`])
    await mkdir(join(box.folder, 'images', path), { recursive: true })
  await box.store.load(Readable.from([tarOfFiles(layoutOf({ layers: [base], reference: 'a:1' }))]))
  assert.equal((await readdir(join(box.folder, 'images/layers'))).length, 2)
  assert.equal((await readdir(join(box.folder, 'images'))).sort(), [
    'index.json',
    'layers',
    'manifests',
  ])
})

test('a root tar becomes an image of one layer', async () => {
  await using box = await testStore()
  const record = await box.store.import(Readable.from([gzipSync(base)]), 'mine:1', {
    changes: {
      command: ['/bin/sh'],
      environment: { A: 'b=c' },
      workingDir: '/folder',
      user: '1:2',
    },
    createdAt: '2026-01-01T00:00:00.000Z',
  })
  assert.is(record.reference, 'docker.io/library/mine:1')
  const { config, layers } = await box.store.facts(record.digest)
  assert.equal(config.command, ['/bin/sh'])
  assert.equal(config.environment, { A: 'b=c' })
  assert.is((await stat(join(layers[0] ?? '', 'kept'))).mode & 0o7777, 0o1777)
  const again = await box.store.import(Readable.from([base]), 'mine:1')
  assert.is.not(again.digest, record.digest)
  assert.is((await box.store.list()).length, 1)
})

test('file capabilities are kept, hard links whole, the private attributes of overlayfs stripped', async () => {
  await using host = await privateKernel()
  await using box = await testStore()
  const capability = Buffer.from([1, 0, 0, 2, 0x80, 0x20, ...Array(14).fill(0)])
  const hostile = {
    'SCHILY.xattr.trusted.overlay.redirect': '/etc',
    'SCHILY.xattr.user.overlay.opaque': 'y',
    'SCHILY.xattr.security.selinux': 'x',
  }
  const layer = tarOf([
    { name: 'd/', type: '5', pax: { ...hostile, 'SCHILY.xattr.trusted.overlay.opaque': 'y' } },
    {
      name: 'ping',
      content: 'x',
      mode: 0o755,
      pax: { ...hostile, 'SCHILY.xattr.security.capability': capability },
    },
    { name: 'link', type: '1', link: 'ping' },
  ])
  await box.store.load(Readable.from([tarOfFiles(layoutOf({ layers: [layer], reference: 'a:1' }))]))
  const [folder = ''] = (await box.store.facts('a:1')).layers
  const listed = await host.sh(
    'tar --create --xattrs --xattrs-include="*" --directory="$1" . | tar --list --verbose --verbose --xattrs --xattrs-include="*"',
    folder,
  )
  assert.equal(
    listed.match(/x: +\d+ \S+/g)?.map((line) => line.split(' ').at(-1)),
    ['security.capability'],
  )
  const one = await stat(join(folder, 'ping'))
  assert.is(one.nlink, 2)
  assert.is(one.mode & 0o7777, 0o755)
})

test.run()
