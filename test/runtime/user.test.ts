import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import { insideRoot } from '../../src/kernel/inside-root.ts'
import { resolveUser } from '../../src/runtime/user.ts'

interface Root extends AsyncDisposable {
  readonly path: string
  user(user: string | null, ...groupAdd: readonly string[]): ReturnType<typeof resolveUser>
}

async function root(): Promise<Root> {
  const folder = await mkdtemp('/tmp/pakt-user-')
  const path = join(folder, 'rootfs')
  await mkdir(join(path, 'etc'), { recursive: true })
  return {
    path,
    user: (user, ...groupAdd) => resolveUser(hostKernel, { rootfs: path, user, groupAdd }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}

async function fill({ path }: Root): Promise<void> {
  await writeFile(
    join(path, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:,,,:/home/web:/bin/sh\nbroken:x:y:z\n',
  )
  await writeFile(join(path, 'etc/group'), 'web:x:1001:\naudio:x:29:web,other\nvideo:x:44:\n')
}

test('finds names in the container’s own files', async () => {
  await using container = await root()
  await fill(container)
  assert.equal(await container.user('web'), {
    uid: 1000,
    gid: 1001,
    additionalGids: [29, 1001],
    home: '/home/web',
  })
  assert.equal((await container.user('1000', 'video', '7')).additionalGids, [7, 29, 44, 1001])
  assert.equal((await container.user('web:video')).additionalGids, [44])
  assert.equal(await container.user('5000:6000'), {
    uid: 5000,
    gid: 6000,
    additionalGids: [6000],
    home: '/',
  })
  assert.is((await container.user(null)).home, '/root')
})

test('refuses names that are not there, and ids past 31 bits', async () => {
  await using container = await root()
  await fill(container)
  for (const wrong of [
    'nobody',
    'web:nogroup',
    '2147483648',
    '99999999999999999999',
    '0:4294967295',
  ]) {
    const thrown = await container.user(wrong).then(
      () => null,
      (error: unknown) => error,
    )
    assert.instance(thrown, Error, wrong)
  }
})

test('never leaves the rootfs, wherever its links point', async () => {
  await using container = await root()
  await symlink('/../../../../etc/passwd', join(container.path, 'etc/passwd'))
  await symlink('../../../../../../etc/group', join(container.path, 'etc/group'))
  const thrown = await container.user('daemon').then(
    () => null,
    (error: unknown) => error,
  )
  assert.instance(thrown, Error)
  assert.is(
    await insideRoot(hostKernel, container.path, '/etc/../../x/./y'),
    join(container.path, 'x/y'),
  )
})

test.run()
