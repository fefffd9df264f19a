import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { problemsOf, refused, service } from './support.ts'

test('how replicas are replaced, with the defaults of Compose', async () => {
  const { update } = await service('update_config: {}')
  assert.equal(update, {
    order: 'stop-first',
    parallelism: 1,
    delayMs: 0,
    monitorMs: 5_000,
    onFailure: 'pause',
    maxFailureRatio: 0,
  })
  const deployed = await service(
    'deploy: { update_config: { order: start-first, parallelism: 0, max_failure_ratio: 0.5 } }',
  )
  assert.is(deployed.update?.order, 'start-first')
  assert.is(deployed.update?.parallelism, 0)
  assert.is(deployed.update?.maxFailureRatio, 0.5)
})

test('what cannot run beside itself does not start first', async () => {
  const order = 'update_config: { order: start-first }'
  for (const mode of ['host', 'container:other'])
    assert.match(
      await refused(`network_mode: "${mode}", ${order}`),
      `containers.web.update_config.order: \`start-first\` does not go with \`network_mode: ${mode}\``,
    )
  const fixed = (attachment: string) => `
containers: { web: { image: a, ${order}, networks: { back: { ${attachment} } } } }
networks: { back: { subnet: 10.9.0.0/24 } }`
  for (const key of ['ipv4_address: 10.9.0.5', 'mac_address: "02:00:00:00:00:01"'])
    assert.match(
      (await problemsOf(fixed(key))).join(),
      'with `start-first` a replica and its successor cannot share one address',
    )
  const named = await service(`container_name: mine, ${order}`)
  assert.is(named.containerName, 'mine')
})

test('what it cannot mean is refused', async () => {
  for (const [lines, said] of [
    ['order: first', 'expected `stop-first` or `start-first`'],
    ['failure_action: stop', 'expected one of `pause`, `continue`, `rollback`'],
    ['max_failure_ratio: 2', 'expected a number from 0 to 1'],
    ['parallelism: -1', 'parallelism'],
  ] as const)
    assert.match(await refused(`update_config: { ${lines} }`), said)
})

test.run()
