// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { type Fleet, fleet } from './machines.ts'
import { containers, lacking } from './stage.ts'

/** Every machine has this file. `near` is on each, the others on one. */
const manifest = (peers: readonly string[]): string => `name: pakto
containers:
  near:
    rootfs: /
    stop_signal: SIGKILL
    command: [sleep, "100000"]
    networks: [mesh]
${peers
  .map(
    (peer) => `  at-${peer}:
    rootfs: /
    stop_signal: SIGKILL
    hosts: [${peer}]
    command: [sleep, "100000"]
    networks: [mesh]
`,
  )
  .join('')}networks:
  mesh:
    driver: vxlan
    subnet: 10.61.0.0/16
    peers:
${peers.map((peer, index) => `      ${peer}: 192.0.2.${index + 1}\n`).join('')}`

testUnless(
  test,
  lacking,
  'two machines: containers reach each other by address and by name',
  async () => {
    const peers = ['one', 'two']
    await using machines = await fleet(peers)
    const [one, two] = await started(machines, manifest(peers))
    assert.equal(addressesOf(await containers(one)), {
      'pakto-at-one-1': '10.61.0.2',
      'pakto-near-1': '10.61.0.3',
    })
    assert.equal(addressesOf(await containers(two)), {
      'pakto-at-two-1': '10.61.64.2',
      'pakto-near-1': '10.61.64.3',
    })
    await reaches(one, 'at-one', '10.61.64.2')
    await reaches(two, 'at-two', '10.61.0.2')
    assert.equal(await named(one, 'at-two'), ['10.61.64.2'])
    assert.equal(await named(two, 'at-one'), ['10.61.0.2'])
    assert.equal(await named(two, 'near'), ['10.61.0.3', '10.61.64.3'])
  },
)

async function started(machines: Fleet, text: string): Promise<readonly [PakSandbox, PakSandbox]> {
  await Promise.all(machines.sandboxes.map((pak) => pak.write('pak.yaml', text)))
  await Promise.all(machines.sandboxes.map((pak) => pak.ok(['up', '-d'])))
  const [one, two] = machines.sandboxes
  assert.ok(one)
  assert.ok(two)
  return [one, two]
}

const addressesOf = (rows: Awaited<ReturnType<typeof containers>>) =>
  Object.fromEntries(
    Object.values(rows).map(({ container, networks }) => [container, networks['mesh']?.ip]),
  )

const reaches = (pak: PakSandbox, service: string, address: string): Promise<unknown> =>
  eventually(`${service} reaches ${address}`, async () => {
    const { exitCode } = await pak.run(['exec', service, 'busybox', 'ping', '-c1', '-W1', address])
    return exitCode === 0
  })

/** Addresses of a name, as a container that is on every machine sees them. */
async function named(pak: PakSandbox, name: string): Promise<readonly string[]> {
  const { stdout } = await pak.run(['exec', 'near', 'getent', 'ahostsv4', name])
  return [...new Set(stdout.split('\n').flatMap((line) => line.split(/\s+/)[0] || []))].sort()
}

test.run()
