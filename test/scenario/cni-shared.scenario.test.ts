// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts dozens of programs
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { busyboxRootfs } from '../support/busybox.ts'
import { eventually } from '../support/eventually.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { fleet, tellIn } from './machines.ts'
import { containers, lacking, type PlanJson, SERVES, SLEEPS } from './stage.ts'

const noPlugins = lacking ?? hostLacks('iptables', '/usr/lib/cni/ptp')

const CONFLIST = {
  cniVersion: '1.0.0',
  name: 'paktptp',
  plugins: [
    {
      type: 'ptp',
      ipMasq: true,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.89.0.0/24' }], [{ subnet: 'fd00:89::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
}

const project = (name: string, services: string) => `name: ${name}
containers:
${services}
networks:
  shared: { driver: cni, cni: ./shared.conflist }
`

const WEB = `  web:
    ${SERVES}
    ports: ["18082:80"]
    networks: [shared]
  near:
    ${SLEEPS}
    networks: [shared]`

const FAR = `  far:
    ${SLEEPS}
    networks: [shared]`

testUnless(
  test,
  noPlugins,
  'two projects on one network of `ptp`, with addresses of both families',
  async () => {
    await using machines = await fleet(1)
    const [[pak], [host]] = [machines.sandboxes, machines.machines]
    assert.ok(pak !== undefined && host !== undefined)
    await busyboxRootfs(join(pak.folder, 'rootfs'))
    await pak.write('shared.conflist', JSON.stringify(CONFLIST))
    await pak.write('own.yaml', project('paktown', WEB))
    await pak.write('other.yaml', project('paktother', FAR))
    const [own, other] = ['own', 'other'].map((name) => ['-f', `${name}.yaml`])
    assert.ok(own !== undefined && other !== undefined)
    for (const file of [own, other]) await pak.ok([...file, 'up', '-d'])
    for (const file of [own, other])
      assert.equal((await pak.json<PlanJson>([...file, 'plan'])).steps, [])
    const mine = await containers(pak, ...own)
    const far = (await containers(pak, ...other))['paktother-far-1']
    const web = mine['paktown-web-1']?.networks['shared']
    assert.match(web?.ip ?? '', /^10\.89\.0\.\d+$/)
    assert.match(web?.ip6 ?? '', /^fd00:89::/)
    assert.is.not(web?.ip, far?.networks['shared']?.ip)
    const from = (pid = 0) => {
      const tell = (...command: readonly string[]) => tellIn(pid, 'busybox', ...command)
      const gets = (address: string) =>
        eventually(
          address,
          async () => (await tell('wget', '-qO-', `http://${address}/`)) === 'paktown-web-1\n',
        )
      return { tell, gets }
    }
    const near = from(mine['paktown-near-1']?.pid)
    // Each asks by an interface of the host that is its own.
    for (const each of [near, from(mine['paktown-web-1']?.pid)]) {
      const names = await each.tell('nslookup', 'web')
      for (const address of [web?.ip ?? '?', web?.ip6 ?? '?']) assert.match(names, address)
    }
    assert.match(await from(far?.pid).tell('nslookup', 'far'), far?.networks['shared']?.ip ?? '?')
    for (const each of [near, from(far?.pid)])
      for (const address of [web?.ip ?? '?', `[${web?.ip6}]`]) await each.gets(address)
    await near.gets('web')
    assert.match(await host.run('busybox', 'wget', '-qO-', 'http://127.0.0.1:18082/'), 'paktown')

    // What one takes away is its own.
    await pak.ok([...own, 'down'])
    assert.equal((await pak.json<PlanJson>([...other, 'plan'])).steps, [])
    assert.match(await host.run('ip', '-o', 'link'), /veth/)
    await pak.ok([...other, 'down'])
    assert.not.match(await host.run('iptables-save'), /10\.89\.|paktptp|18082/)
    assert.not.match(await host.run('ip', '-o', 'link'), /veth/)
    // host-local remembers which address it gave last, for a network that has a name of its own.
    await rm('/var/lib/cni/networks/paktptp', { recursive: true })
  },
)

test.run()
