import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { type LayerLimits, unpackLayer } from '../../src/images/layer.ts'
import { hostKernel } from '../../src/kernel/host.ts'
import {
  addImage,
  dockerArchiveOf,
  type Item,
  layoutOf,
  sha,
  tarOf,
  tarOfFiles,
  testStore,
} from './archives.ts'

interface Unpacked extends AsyncDisposable {
  readonly outside: string
  readonly layer: string
  unpack(items: readonly Item[] | Buffer, limits?: Partial<LayerLimits>): Promise<void>
}

async function sandbox(): Promise<Unpacked> {
  const folder = await mkdtemp('/tmp/pakt-layer-')
  const [outside, layer, scratch] = ['outside', 'layer', 'scratch'].map((name) =>
    join(folder, name),
  )
  for (const path of [outside, layer, scratch]) await mkdir(path ?? '')
  await writeFile(join(outside ?? '', 'keep'), 'keep')
  return {
    outside: outside ?? '',
    layer: layer ?? '',
    async unpack(items, limits = {}) {
      const tar = Buffer.isBuffer(items) ? items : tarOf(items)
      const target = { folder: layer ?? '', scratch: scratch ?? '', limits }
      await unpackLayer(hostKernel, [Readable.from([tar])], target)
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

async function refused(act: Promise<unknown>, reason: RegExp): Promise<void> {
  const error = await act.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  assert.instance(error, PakError)
  if (error instanceof PakError) {
    assert.is(error.code, 'image_invalid')
    assert.match(error.message, reason)
  }
}

const untouched = async ({ outside }: Unpacked): Promise<void> => {
  assert.equal(await readdir(outside), ['keep'])
  assert.is(readFileSync(join(outside, 'keep'), 'utf8'), 'keep')
}

test('a name with .. is refused', async () => {
  await using box = await sandbox()
  for (const name of ['../outside/f', 'a/../../outside/f', '/../outside/f', '..'])
    await refused(box.unpack([{ name, content: 'x' }]), /leads out/)
  await refused(
    box.unpack([{ name: 'x', content: 'x', pax: { path: '../outside/f' } }]),
    /leads out/,
  )
  await untouched(box)
})

test('an absolute name is below the layer', async () => {
  await using box = await sandbox()
  await box.unpack([{ name: '/etc/passwd-pakt', content: 'x' }])
  assert.ok(existsSync(join(box.layer, 'etc/passwd-pakt')))
  assert.not(existsSync('/etc/passwd-pakt'))
})

test('a symlink as a parent is followed as if the layer were the root', async () => {
  await using box = await sandbox()
  await box.unpack([
    { name: 'abs', type: '2', link: box.outside },
    { name: 'up', type: '2', link: '../../../../../../outside' },
    { name: 'abs/f', content: 'x' },
    { name: 'up/g', content: 'x' },
    { name: 'abs/.wh.keep' },
    { name: 'abs/d', type: '5' },
  ])
  await untouched(box)
  assert.ok(existsSync(join(box.layer, box.outside, 'f')))
  assert.ok(existsSync(join(box.layer, 'outside/g')))
})

test('a folder replaced by a symlink between entries leads nowhere', async () => {
  await using box = await sandbox()
  await box.unpack([
    { name: 'd', type: '5' },
    { name: 'd/one', content: '1' },
    { name: 'd', type: '2', link: box.outside },
    { name: 'd/keep', content: 'stolen' },
    { name: 'd', type: '5' },
    { name: 'd/two', content: '2' },
  ])
  await untouched(box)
  assert.ok(lstatSync(join(box.layer, 'd')).isDirectory())
  assert.equal(await readdir(join(box.layer, 'd')), ['two'])
})

test('a file is never written through a symlink or a hard link of its own name', async () => {
  await using box = await sandbox()
  await box.unpack([
    { name: 'l', type: '2', link: join(box.outside, 'keep') },
    { name: 'l', content: 'new' },
    { name: 'a', content: 'a' },
    { name: 'b', type: '1', link: 'a' },
    { name: 'b', content: 'b' },
  ])
  await untouched(box)
  assert.is(readFileSync(join(box.layer, 'a'), 'utf8'), 'a')
})

test('modes and owners are not changed through a symlink', async () => {
  await using box = await sandbox()
  const before = statSync(join(box.outside, 'keep'))
  await box.unpack([
    { name: 'l', type: '2', link: join(box.outside, 'keep'), mode: 0o4777, uid: 7 },
  ])
  const after = statSync(join(box.outside, 'keep'))
  assert.equal([after.mode, after.uid, after.mtimeMs], [before.mode, before.uid, before.mtimeMs])
})

test('a hard link to what is outside is refused', async () => {
  await using box = await sandbox()
  for (const link of ['../outside/keep', join(box.outside, 'keep'), 'nothing'])
    await refused(box.unpack([{ name: 'h', type: '1', link }]), /hard link|leads out/)
  await refused(
    box.unpack([
      { name: 's', type: '2', link: box.outside },
      { name: 'h', type: '1', link: 's/keep' },
    ]),
    /hard link/,
  )
})

test('a loop of symlinks ends', async () => {
  await using box = await sandbox()
  const loop = [
    { name: 'a', type: '2', link: 'b' },
    { name: 'b', type: '2', link: 'a' },
  ]
  await refused(box.unpack([...loop, { name: 'a/f' }]), /symlinks/)
})

test('a device as a parent, and whiteouts of nothing, are refused', async () => {
  await using box = await sandbox()
  await refused(box.unpack([{ name: 'n', type: '3', device: [1, 3] }, { name: 'n/f' }]), /none/)
  for (const name of ['.wh.', '.wh..', '.wh...'])
    await refused(box.unpack([{ name }]), /of nothing/)
})

test('devices and FIFOs are made, never opened, and few', async () => {
  await using box = await sandbox()
  await box.unpack([
    { name: 'fifo', type: '6', mode: 0o622 },
    { name: 'null', type: '3', device: [1, 3], mode: 0o666 },
    { name: 'zero', type: '3', device: [0, 0] },
    { name: 'fifo', content: 'now a file' },
  ])
  assert.ok(lstatSync(join(box.layer, 'null')).isCharacterDevice())
  assert.ok(lstatSync(join(box.layer, 'fifo')).isFile())
  assert.not(existsSync(join(box.layer, 'zero')))
  const many = Array.from({ length: 4 }, (_, index) => ({ name: `p${index}`, type: '6' }))
  await refused(box.unpack(many, { specials: 3 }), /more than 3 devices/)
})

test('sizes below zero and beyond all measure are refused', async () => {
  await using box = await sandbox()
  const base256 = (first: number) => String.fromCharCode(first, ...Array(11).fill(0xff))
  for (const size of ['-0000000001', base256(0xff), base256(0x80), base256(0x81), 'garbage!!!!'])
    await refused(box.unpack([{ name: 'f', size }]), /impossible size|ends in the middle/)
  for (const size of ['-1', '1e9', '99999999999999999999', ''])
    await refused(box.unpack([{ name: 'f', pax: { size } }]), /impossible size/)
})

test('huge and broken PAX headers are refused', async () => {
  await using box = await sandbox()
  const comment = Buffer.alloc(2 * 1024 * 1024, 'a')
  await refused(box.unpack([{ name: 'f', pax: { comment } }]), /extended header/)
  for (const content of ['-5 a=b\n', '99 a=b\n', '6 a=b', '0 a=b\n', 'x', '5 ab\n'])
    await refused(box.unpack([{ name: 'p', type: 'x', content }, { name: 'f' }]), /PAX/)
  const global = { name: 'g', type: 'g', content: '16 path=../../f\n' }
  await refused(box.unpack([global, { name: 'f' }]), /global|PAX/)
})

test('more entries than the limit are refused', async () => {
  await using box = await sandbox()
  const many = Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` }))
  await refused(box.unpack(many, { entries: 10 }), /more than 10 entries/)
})

test('an archive that is cut off, or is none, is refused', async () => {
  await using box = await sandbox()
  const whole = tarOf([{ name: 'f', content: 'x'.repeat(5000) }])
  for (const length of [100, 600, 3000])
    await refused(box.unpack(whole.subarray(0, length)), /archive/)
  await refused(box.unpack(Buffer.from('#!/bin/sh\n'.repeat(500))), /tar/)
})

test('names of bytes that are no UTF-8 stay what they are', async () => {
  await using box = await sandbox()
  await box.unpack([
    { name: 'a\xff\xfeb', content: '1' },
    { name: 'a\xff\xfdb', content: '2' },
  ])
  const names = await readdir(box.layer, { encoding: 'latin1' })
  assert.equal(names.sort(), ['a\xff\xfdb', 'a\xff\xfeb'])
})

test('too long names are refused, not a bug', async () => {
  await using box = await sandbox()
  await refused(box.unpack([{ name: 'x', pax: { path: 'n'.repeat(300) } }]), /longer/)
  await refused(box.unpack([{ name: 'x', pax: { path: 'n/'.repeat(4000) } }]), /longer/)
})

const simple = tarOf([{ name: 'f', content: 'x' }])

async function refusedImage(files: Map<string, Buffer>, reason: RegExp): Promise<void> {
  await using box = await testStore()
  await refused(box.store.load(Readable.from([tarOfFiles(files)])), reason)
  assert.equal(await box.store.list(), [])
  assert.equal(await readdir(join(box.folder, 'images/layers')), [])
  assert.not(existsSync(join(box.folder, 'images/scratch')))
}

test('a blob with other bytes than its digest says commits nothing', async () => {
  for (const kind of ['layer', 'config', 'manifest']) {
    const files = layoutOf({ layers: [simple], reference: 'a:1' })
    for (const [name, bytes] of files) {
      if (!name.startsWith('blobs/')) continue
      const isLayer = bytes[0] === 0x1f
      const isManifest = bytes.includes('"schemaVersion"')
      const found = isLayer ? 'layer' : isManifest ? 'manifest' : 'config'
      if (found !== kind) continue
      const flipped = Buffer.from(bytes)
      flipped[20] = (flipped[20] ?? 0) ^ 1
      files.set(name, flipped)
    }
    await refusedImage(files, /digest/)
  }
})

test('a truncated or longer blob commits nothing', async () => {
  for (const change of [
    (b: Buffer) => b.subarray(1),
    (b: Buffer) => Buffer.concat([b, Buffer.of(0)]),
  ]) {
    const files = layoutOf({ layers: [simple], reference: 'a:1' })
    for (const [name, bytes] of files) if (bytes[0] === 0x1f) files.set(name, change(bytes))
    await refusedImage(files, /bytes, not/)
  }
})

test('a layer that is not what the configuration says commits nothing', async () => {
  const files = dockerArchiveOf({ layers: [simple], reference: 'a:1' })
  files.set('0/layer.tar', tarOf([{ name: 'f', content: 'y' }]))
  await refusedImage(files, /digest/)
})

test('documents past 4 MiB, deep nesting and what is no JSON are refused', async () => {
  const index = (text: string) => new Map([['index.json', Buffer.from(text)]])
  await refusedImage(index(`{"x":"${'a'.repeat(5 * 2 ** 20)}"}`), /larger than/)
  await refusedImage(index('['.repeat(3_000_000)), /JSON/)
  await refusedImage(index('{'), /JSON/)
})

test('an index of indexes is followed only so far', async () => {
  const files = layoutOf({ layers: [simple] })
  let inner = JSON.parse(String(files.get('index.json'))).manifests[0]
  for (let depth = 0; depth < 8; depth += 1) {
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [inner] }))
    files.set(`blobs/${sha(bytes).replace(':', '/')}`, bytes)
    inner = {
      mediaType: 'application/vnd.oci.image.index.v1+json',
      digest: sha(bytes),
      size: bytes.length,
    }
  }
  files.set('index.json', Buffer.from(JSON.stringify({ manifests: [inner] })))
  await refusedImage(files, /nested too deeply/)
})

test('kinds of content that pak does not know are named', async () => {
  await refusedImage(
    layoutOf({ layers: [simple], mediaType: 'application/x-evil' }),
    /application\/x-evil/,
  )
})

test('an image for another machine is refused, and the one of many for this machine is taken', async () => {
  await refusedImage(layoutOf({ layers: [simple], architecture: 'arm64' }), /linux\/arm64/)
  await using box = await testStore()
  const files = new Map<string, Buffer>()
  const of = (architecture: string, layer: Buffer) => ({
    ...addImage(files, { layers: [layer], architecture }),
    platform: { os: 'linux', architecture },
  })
  const manifests = [of('arm64', tarOf([{ name: 'arm' }])), of('amd64', simple)]
  const index = Buffer.from(JSON.stringify({ manifests }))
  files.set(`blobs/${sha(index).replace(':', '/')}`, index)
  const outer = {
    mediaType: 'application/vnd.oci.image.index.v1+json',
    digest: sha(index),
    size: index.length,
    annotations: { 'io.containerd.image.name': 'ex.test/a:1' },
  }
  files.set('index.json', Buffer.from(JSON.stringify({ manifests: [outer] })))
  const [record] = await box.store.load(Readable.from([tarOfFiles(files)]))
  assert.is(record?.reference, 'ex.test/a:1')
  assert.is(record?.digest, manifests[1]?.digest)
  assert.is(await box.store.resolve(`ex.test/a@${outer.digest}`), record?.digest)
})

test('a gzip bomb ends, inside and outside', async () => {
  const bomb = tarOf([{ name: 'big', content: Buffer.alloc(400 * 2 ** 20) }])
  await refusedImage(layoutOf({ layers: [bomb], reference: 'a:1' }), /beyond all measure/)
  await using box = await testStore()
  await refused(box.store.load(Readable.from([gzipSync(bomb)])), /beyond all measure/)
})

test('a FIFO as source or as blob is not opened', async () => {
  await using box = await testStore()
  await hostKernel.run('mkfifo', [join(box.folder, 'fifo'), join(box.folder, 'index.json')])
  await refused(box.store.load(join(box.folder, 'fifo')), /regular file/)
  await refused(box.store.load(box.folder), /neither/)
})

test('a source that breaks half-way leaves the store as it was', async () => {
  await using box = await testStore()
  const source = Readable.from(
    (async function* () {
      yield tarOfFiles(layoutOf({ layers: [simple] })).subarray(0, 700)
      throw new Error('reset')
    })(),
  )
  assert.ok(
    await box.store.load(source).then(
      () => false,
      () => true,
    ),
  )
  assert.equal(await box.store.list(), [])
  assert.not(existsSync(join(box.folder, 'images/scratch')))
})

test.run()
