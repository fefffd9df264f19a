import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Connection } from '../../src/model/attachments.ts'
import { planConnection } from '../../src/plan/connect.ts'
import { desired, network, OPTIONS, port, service, text, world } from './build.ts'

const on = (...names: readonly string[]) =>
  names.map((name) => ({ network: name, aliases: [], ipv4: null }))

const shop = (environment: Readonly<Record<string, string>> = {}) =>
  desired([service('web', { networks: on('back'), ports: port(8080), environment })], {
    networks: [network('admin'), network('back')],
  })

async function placed(wanted: Connection) {
  const made = world()
  await made.up(shop())
  const seen = await made.host.inspect({ project: 'shop' })
  const planned = planConnection(seen, 'shop-web-1', wanted)
  await made.run(planned)
  return { ...made, planned }
}

const CONNECT: Connection = { connect: { network: 'admin', aliases: ['boss'], ipv4: null } }

test('what was connected by hand stays, and is told', async () => {
  const { planOf, planned } = await placed(CONNECT)
  assert.equal(
    planned.steps.map(({ id }) => id),
    ['container.connect:service/web/1'],
  )
  const after = await planOf(shop())
  assert.is(text(after), '')
  assert.is(after.warnings.length, 1)
  assert.match(after.warnings[0] ?? '', 'is on network `admin` by hand')
  assert.is(text(await planOf(shop(), { ...OPTIONS, cause: 'loop' })), '')
})

test('published ports stay where they arrive, though the network by hand comes first by its name', async () => {
  const { host } = await placed(CONNECT)
  const { firewall } = await host.inspect({ project: 'shop' })
  assert.equal(
    firewall.published.map(({ container }) => container),
    ['shop-web-1'],
  )
})

test('what was disconnected by hand stays so, and the firewall does not send there any more', async () => {
  const { planOf, planned } = await placed({ disconnect: 'back' })
  assert.ok(planned.steps.some(({ op }) => op === 'container.disconnect'))
  const after = await planOf(shop())
  assert.is(text(after), '')
  assert.match(after.warnings[0] ?? '', 'was taken off network `back` by hand')
})

test('a container that is made anew is where its file says', async () => {
  const { planOf, up } = await placed(CONNECT)
  const anew = await planOf(shop({ A: 'b' }))
  assert.match(anew.warnings[0] ?? '', 'is made anew: what was done by hand')
  await up(shop({ A: 'b' }))
  assert.equal((await planOf(shop({ A: 'b' }))).warnings, [])
})

test.run()
