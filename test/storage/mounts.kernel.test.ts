import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { insideRoot } from '../../src/kernel/inside-root.ts'
import type { Mount } from '../../src/model/desired.ts'
import { checkBinds, resolveMounts } from '../../src/storage/binds.ts'
import { copyUp } from '../../src/storage/copy-up.ts'
import { planMounts } from '../../src/storage/mounts.ts'
import { createVolume, removeVolume, volumeUsage } from '../../src/storage/volumes.ts'
import { privateKernel } from './private-kernel.ts'

const bind = (source: string, createHostPath = false): Mount => ({
  kind: 'bind',
  source,
  target: '/b',
  readOnly: true,
  createHostPath,
  propagation: 'rprivate',
})
const volume = (name: string | null, target: string): Mount => ({
  kind: 'volume',
  volume: name,
  target,
  readOnly: false,
  noCopy: false,
})

test('mounts are ordered by depth, and the image adds what is not taken', () => {
  const tmpfs: Mount = {
    kind: 'tmpfs',
    target: '/a/b',
    sizeBytes: 4096,
    mode: 0o700,
    readOnly: false,
  }
  const plan = planMounts({
    spec: { mounts: [tmpfs, volume('data', '/a'), bind('/src')] },
    image: { volumes: ['/', '/proc', '/a', '/auto', '/x/../y'] },
    volumePath: (name) => `/volumes/${name}`,
    anonymousPath: (index) => `/anonymous/${index}`,
  })
  assert.equal(plan.mounts, [
    {
      type: 'bind',
      source: '/volumes/data',
      destination: '/a',
      options: ['rbind', 'rw', 'rprivate'],
    },
    {
      type: 'tmpfs',
      source: 'tmpfs',
      destination: '/a/b',
      options: ['noexec', 'nosuid', 'nodev', 'size=4096', 'mode=0700'],
    },
    {
      type: 'bind',
      source: '/anonymous/0',
      destination: '/auto',
      options: ['rbind', 'rw', 'rprivate'],
    },
    {
      type: 'bind',
      source: '/src',
      destination: '/b',
      options: ['rbind', 'ro', 'rro', 'rprivate'],
    },
  ])
  assert.equal(plan.folders, ['/anonymous/0'])
})

test('a missing bind source is an error unless it may be made', async () => {
  await using host = await privateKernel()
  const source = join(host.folder, 'gone')
  const [problem, ...others] = await checkBinds(host.kernel, 'web', [
    bind(source),
    bind(source, true),
  ])
  assert.is(others.length, 0)
  assert.match(problem?.message ?? '', /service `web`: bind `.*gone` to `\/b`: no such/)
  const input = {
    image: null,
    rootfs: host.folder,
    volumePath: String,
    anonymousPath: String,
  }
  await resolveMounts(host.kernel, { ...input, spec: { mounts: [bind(source, true)] } })
  assert.is((await host.kernel.stat(source))?.kind, 'folder')
})

test('an empty volume gets the content, mode and owner of the root, once', async () => {
  await using host = await privateKernel()
  const { kernel, folder } = host
  await host.sh(
    'mkdir -p root/data/sub; echo x >root/data/sub/f; mkfifo root/data/p; chown 7:8 root/data; chmod 2750 root/data; ln -s /etc/passwd root/data/l',
  )
  const data = join(folder, 'volumes/p/v/_data')
  await createVolume(kernel, data)
  const request = { rootfs: join(folder, 'root'), target: '/data', folder: data }
  await Promise.all([copyUp(kernel, request), copyUp(kernel, request), copyUp(kernel, request)])
  const facts = await kernel.stat(data)
  assert.equal([facts?.mode, facts?.uid, facts?.gid], [0o2750, 7, 8])
  assert.equal(await kernel.list(data), ['l', 'p', 'sub'])
  assert.is(await kernel.readLink(join(data, 'l')), '/etc/passwd')
  await host.sh('rm -r volumes/p/v/_data/sub; echo mine >volumes/p/v/_data/mine')
  await copyUp(kernel, request)
  assert.not(await kernel.exists(join(data, 'sub')))
  await kernel.replaceFile(`${data}.copying`, '')
  await copyUp(kernel, request)
  assert.ok(await kernel.exists(join(data, 'sub/f')))
  assert.not(await kernel.exists(`${data}.copying`))
  assert.ok((await volumeUsage(kernel, data)).usedBytes > 0)
  await removeVolume(kernel, data)
  await removeVolume(kernel, data)
  assert.equal(await kernel.list(join(folder, 'volumes')), [])
})

test('copy-up through symlinks stays inside the root', async () => {
  await using host = await privateKernel()
  const { kernel, folder } = host
  const root = join(folder, 'root')
  await host.sh(
    'mkdir -p root/real secret; echo s >secret/s; echo r >root/real/r; ln -s "$1/secret" root/abs; ln -s ../../../..$1/secret root/up; ln -s /real root/ok; ln -s loop root/loop',
    folder,
  )
  const inside = (path: string) => insideRoot(kernel, root, path)
  assert.is(await inside('/abs'), join(root, folder, 'secret'))
  assert.is(await inside('/up'), join(root, folder, 'secret'))
  assert.is(await inside('/ok/r'), join(root, 'real/r'))
  assert.is(await inside('/../../ok'), join(root, 'real'))
  assert.is(await inside('/loop'), null)
  const data = join(folder, 'v/_data')
  await createVolume(kernel, data)
  await copyUp(kernel, { rootfs: root, target: '/abs', folder: data })
  assert.equal(await kernel.list(data), [])
})

test.run()
