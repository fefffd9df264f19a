// not in the emulated machine: nothing of it depends on the version of cgroups, and its files take minutes there
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mountTable, mountTmpfs, unmountAll } from '../../src/kernel/mount.ts'
import { prepareInitLayer } from '../../src/storage/init-layer.ts'
import { mountRootfs, unmountRootfs } from '../../src/storage/rootfs.ts'
import { privateKernel } from './private-kernel.ts'

test('overlays are mounted in one batch, again without effect, and unmounted', async () => {
  await using host = await privateKernel()
  const { kernel, folder } = host
  await host.sh('mkdir low; echo hello >low/file')
  const requests = Array.from({ length: 50 }, (_, index) => ({
    target: join(folder, `run/${index}/rootfs`),
    lowers: [join(folder, 'low')],
    folder: join(folder, `state/${index}`),
  }))
  assert.equal(
    await mountRootfs(kernel, requests),
    requests.map(() => null),
  )
  assert.equal(
    await mountRootfs(kernel, requests),
    requests.map(() => null),
  )
  assert.is(await kernel.readText(join(folder, 'run/49/rootfs/file')), 'hello\n')
  const mine = (await mountTable(kernel)).filter(({ target }) => target.startsWith(folder))
  assert.is(mine.length, 50)
  assert.not((await kernel.list(join(folder, 'state'))).some((name) => name.startsWith('mount-')))
  const targets = requests.map(({ target }) => target)
  assert.equal(
    await unmountRootfs(kernel, targets),
    targets.map(() => null),
  )
  assert.equal(
    await unmountRootfs(kernel, targets),
    targets.map(() => null),
  )
  assert.not((await mountTable(kernel)).some(({ target }) => target.startsWith(folder)))
})

test('paths with every character that mount, fstab or overlayfs treat as special', async () => {
  await using host = await privateKernel()
  const odd = join(host.folder, 'a b,c:d\\e"f#g\t\'$(h)')
  await host.sh('mkdir -p "$1/low"; echo x >"$1/low/file"', odd)
  const [outcome] = await mountRootfs(host.kernel, [
    { target: join(odd, 'root'), lowers: [join(odd, 'low')], folder: join(odd, 'state') },
  ])
  assert.is(outcome, null)
  assert.is(await host.kernel.readText(join(odd, 'root/file')), 'x\n')
  assert.equal(await unmountRootfs(host.kernel, [join(odd, 'root')]), [null])
})

test('a hundred and twenty layers, the top one first', async () => {
  await using host = await privateKernel()
  const long = 'f'.repeat(64)
  await host.sh(
    'for i in $(seq 120); do mkdir "$1$i"; echo $i >"$1$i/who"; echo >"$1$i/own$i"; done',
    long,
  )
  const lowers = Array.from({ length: 120 }, (_, index) =>
    join(host.folder, `${long}${120 - index}`),
  )
  const target = join(host.folder, 'root')
  const outcome = await mountRootfs(host.kernel, [
    { target, lowers, folder: join(host.folder, 's') },
  ])
  assert.equal(outcome, [null])
  assert.is(await host.kernel.readText(join(target, 'who')), '120\n')
  assert.is((await host.kernel.list(target)).length, 121)
})

test('one bad request does not stop the others, and says what is missing', async () => {
  await using host = await privateKernel()
  await host.sh('mkdir low')
  const request = (name: string, low: string) => ({
    target: join(host.folder, name),
    lowers: [join(host.folder, low)],
    folder: join(host.folder, `state-${name}`),
  })
  const [good, bad, other] = await mountRootfs(host.kernel, [
    request('one', 'low'),
    request('two', 'gone'),
    request('three', 'low'),
  ])
  assert.is(good, null)
  assert.is(other, null)
  assert.is(bad?.code, 'storage')
  assert.match(bad?.message ?? '', /mount `.*two`: `.*gone` is not a folder/)
})

test('a busy root is detached, and that is said', async () => {
  await using host = await privateKernel()
  const target = join(host.folder, 'busy')
  await mountTmpfs(host.kernel, target)
  await mountTmpfs(host.kernel, target)
  const held = host.sh('exec 3>busy/file; echo >ready; while test ! -e done; do sleep 0.05; done')
  while (!(await host.kernel.exists(join(host.folder, 'ready'))))
    await host.kernel.run('sleep', ['0.05'])
  const [outcome] = await unmountAll(host.kernel, [target])
  assert.equal(outcome, { error: null, lazy: true })
  await host.sh('touch done')
  await held
})

test('the init layer covers what a hostile rootfs has as symlinks', async () => {
  await using host = await privateKernel()
  const { kernel, folder } = host
  await host.sh(`mkdir -p host bad; echo keep >host/hosts
    for i in dev proc sys etc data; do ln -s "$PWD/host" bad/$i; done`)
  await prepareInitLayer(kernel, { folder: join(folder, 'init'), hidden: [] })
  await prepareInitLayer(kernel, { folder: join(folder, 'init'), hidden: [] })
  const target = join(folder, 'root')
  const lowers = [join(folder, 'init'), join(folder, 'bad')]
  assert.equal(await mountRootfs(kernel, [{ target, lowers, folder: join(folder, 's') }]), [null])
  const kinds = await host.sh(
    'cd root; stat -c %F dev proc sys etc etc/hosts etc/resolv.conf etc/hostname',
  )
  assert.is(kinds.match(/^directory$/gm)?.length, 4)
  assert.is(kinds.match(/^regular empty file$/gm)?.length, 3)
})

test('a container on the root of the host does not see the state of pak', async () => {
  await using host = await privateKernel()
  const { kernel, folder } = host
  await host.sh(
    `mkdir -p state/secret; echo s >state/secret/file; chmod 1777 state; mkdir volatile`,
  )
  await mountTmpfs(kernel, join(folder, 'volatile'))
  const init = { folder: join(folder, 'volatile/init'), hidden: [join(folder, 'state/secret')] }
  await prepareInitLayer(kernel, init)
  await prepareInitLayer(kernel, init)
  const target = join(folder, 'root')
  const lowers = [init.folder, '/']
  const storage = join(folder, 'volatile/c')
  assert.equal(await mountRootfs(kernel, [{ target, lowers, folder: storage }]), [null])
  assert.not(await kernel.exists(join(target, folder, 'state/secret')))
  assert.ok(await kernel.exists(join(target, 'usr/bin/env')))
  assert.is((await kernel.stat(join(target, folder, 'state')))?.mode, 0o1777)
  assert.is((await kernel.stat(join(target, 'tmp')))?.mode, 0o1777)
})

test.run()
