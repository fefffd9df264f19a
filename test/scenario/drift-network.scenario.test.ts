// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times
// alone: holds pak to its three seconds
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { number, settled, told, within, within3s } from './damage.ts'
import { containers, lacking, pids, SLEEPS, stage } from './stage.ts'

const ip = (...args: readonly string[]) => execFileSync('ip', args, { encoding: 'utf8' })

const MANIFEST = (project: string) => `name: ${project}
containers:
  a:
    ${SLEEPS}
    networks: [front]
networks:
  front:
`

/** What is done from outside, what shows that it is undone, and what is told. */
interface Damage {
  readonly what: string
  readonly does: (at: Target) => void
  readonly undone: (at: Target) => boolean
  readonly event: RegExp
}

interface Target {
  readonly bridge: string
  readonly veth: string
  readonly gateway: string
  readonly address: string
  readonly pid: number
}

const forwardingOf = (bridge: string) => `/proc/sys/net/ipv4/conf/${bridge}/forwarding`
const inside = (pid: number, ...args: readonly string[]) => within(pid, 'net', 'ip', ...args)

const DAMAGES: readonly Damage[] = [
  {
    what: 'a deleted bridge',
    does: ({ bridge }) => void ip('link', 'del', bridge),
    undone: ({ bridge, veth }) => existsSync(`/sys/class/net/${bridge}/brif/${veth}`),
    event: /network\.created network\/front .*is gone/,
  },
  {
    what: 'a bridge without its address',
    does: ({ bridge }) => void ip('addr', 'flush', 'dev', bridge),
    undone: ({ bridge, gateway }) => ip('addr', 'show', 'dev', bridge).includes(`${gateway}/`),
    event: /network\.created network\/front .*lost its address/,
  },
  {
    what: 'a bridge that is down',
    does: ({ bridge }) => void ip('link', 'set', bridge, 'down'),
    undone: ({ bridge }) => (number(`/sys/class/net/${bridge}/flags`) & 1) === 1,
    event: /network\.created network\/front .*is down/,
  },
  {
    what: 'a bridge of another MAC',
    does: ({ bridge }) => void ip('link', 'set', bridge, 'address', '02:00:00:00:00:09'),
    undone: ({ bridge }) => !ip('link', 'show', bridge).includes('02:00:00:00:00:09'),
    event: /network\.created network\/front .*address of bridge .* was 02:00:00:00:00:09/,
  },
  {
    what: 'a bridge that forwards nothing',
    does: ({ bridge }) => void writeFileSync(forwardingOf(bridge), '0'),
    undone: ({ bridge }) => number(forwardingOf(bridge)) === 1,
    event: /network\.created network\/front .*forwarding of bridge .* was 0, should be 1/,
  },
  {
    what: 'a deleted veth',
    does: ({ veth }) => void ip('link', 'del', veth),
    undone: ({ bridge, veth, pid, address }) =>
      existsSync(`/sys/class/net/${bridge}/brif/${veth}`) &&
      inside(pid, 'addr').includes(`${address}/`) &&
      inside(pid, 'route').includes('default'),
    event: /container\.repaired service\/a\/1 .*veth .* is gone/,
  },
  {
    what: 'a veth taken off its bridge',
    does: ({ veth }) => void ip('link', 'set', veth, 'nomaster'),
    undone: ({ bridge, veth }) => existsSync(`/sys/class/net/${bridge}/brif/${veth}`),
    event: /container\.repaired service\/a\/1 .*was not on bridge/,
  },
  {
    what: 'a lost address',
    does: ({ pid }) => void inside(pid, 'addr', 'flush', 'dev', 'eth0'),
    undone: ({ pid, address }) =>
      inside(pid, 'addr').includes(`${address}/`) && inside(pid, 'route').includes('default'),
    event: /container\.repaired service\/a\/1 .*lost its address/,
  },
  {
    what: 'a lost default route',
    does: ({ pid }) => void inside(pid, 'route', 'del', 'default'),
    undone: ({ pid }) => inside(pid, 'route').includes('default'),
    event: /container\.repaired service\/a\/1 .*default route/,
  },
  {
    what: 'an interface of another name',
    does({ pid }) {
      inside(pid, 'link', 'set', 'eth0', 'down')
      inside(pid, 'link', 'set', 'eth0', 'name', 'other0')
    },
    undone: ({ pid, address }) =>
      !inside(pid, 'link').includes('other0') && inside(pid, 'addr').includes(`${address}/`),
    event: /container\.repaired service\/a\/1 .*lost its address/,
  },
]

testUnless(
  test,
  lacking,
  'whatever is done to its network is undone, with the same pids',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', MANIFEST('paktdn'))
    await pak.ok(['up', '-d'])
    const before = await pids(pak)
    await settled(pak)
    for (const { what, does, undone, event } of DAMAGES) {
      const at = await targetOf(pak)
      does(at)
      await within3s(what, () => undone(at))
      await told(pak, event)
    }
    assert.equal(await pids(pak), before)
  },
)

testUnless(test, lacking, 'a flushed nft table is written anew', async () => {
  await using pak = await stage()
  await pak.write('pak.yaml', MANIFEST('paktdf'))
  await pak.ok(['up', '-d'])
  const before = await pids(pak)
  await settled(pak)
  const { bridge } = await targetOf(pak)
  const table = tableWith(bridge)
  assert.ok(table !== null)
  execFileSync('nft', ['delete', 'table', 'inet', table])
  await within3s('the table is back', () => tableWith(bridge) === table)
  await told(pak, /firewall.* project\/paktdf .*firewall: its table was gone/)
  assert.equal(await pids(pak), before)

  // What it wrote it has read once more.
  await settled(pak)
  const shown = () => execFileSync('nft', ['list', 'table', 'inet', table], { encoding: 'utf8' })
  const last = 'everything else stays out'
  const handle = () => {
    const rules = execFileSync('nft', ['-a', 'list', 'table', 'inet', table], { encoding: 'utf8' })
    return new RegExp(`${last}" # handle (\\d+)`).exec(rules)?.[1]
  }
  const damages = [
    {
      command: () =>
        `replace rule inet ${table} forward handle ${handle()} accept comment "${last}"`,
      trace: new RegExp(`^\\s*accept comment "${last}"`, 'm'),
      fact: /a rule was not as pak made it/,
    },
    {
      command: () => `add element inet ${table} links { "${bridge}" . "lo" }`,
      trace: /"lo"\s*[,}]/,
      fact: /its set links had .* of nobody/,
    },
    {
      command: () =>
        `add chain inet ${table} zz { type filter hook forward priority 9; policy drop; }`,
      trace: /chain zz/,
      fact: /its table had chain zz, of nobody/,
    },
    {
      // What an administrator has put in must not be in the way.
      command: () =>
        `add rule inet ${table} admin counter; add table inet ${table} { flags dormant; }`,
      trace: /flags dormant/,
      fact: /its table was dormant/,
    },
  ]
  for (const { command, trace, fact } of damages) {
    execFileSync('nft', [command()])
    assert.match(shown(), trace)
    await within3s(String(fact), () => !trace.test(shown()))
    await told(pak, new RegExp(`firewall.* project/paktdf .*firewall: ${fact.source}`))
  }
  assert.match(shown(), /chain admin \{\s+counter/)
  // With a rule of its own in it the table would stay.
  execFileSync('nft', ['flush', 'chain', 'inet', table, 'admin'])
  assert.equal(await pids(pak), before)
})

async function targetOf(pak: PakSandbox): Promise<Target> {
  const row = Object.values(await containers(pak)).find(({ service }) => service === 'a')
  const address = row?.networks['front']?.ip ?? ''
  const pid = row?.pid ?? 0
  const gateway = address.replace(/\d+$/, '1')
  const links = JSON.parse(ip('-j', 'addr', 'show')) as readonly Link[]
  const bridge = links.find(({ addr_info }) => addr_info.some(({ local }) => local === gateway))
  const peer = (JSON.parse(inside(pid, '-j', 'link', 'show', 'eth0')) as readonly Link[])[0]
  const veth = links.find(({ ifindex }) => ifindex === peer?.link_index)
  return { bridge: bridge?.ifname ?? '', veth: veth?.ifname ?? '', gateway, address, pid }
}

interface Link {
  readonly ifname: string
  readonly ifindex: number
  readonly link_index?: number
  readonly addr_info: readonly { readonly local?: string }[]
}

/** The name of the nft table that knows a bridge. */
function tableWith(bridge: string): string | null {
  let table: string | null = null
  for (const line of execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }).split('\n')) {
    table = /^table inet (\S+)/.exec(line)?.[1] ?? table
    if (line.includes(bridge)) return table
  }
  return null
}

test.run()
