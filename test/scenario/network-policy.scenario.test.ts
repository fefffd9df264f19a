// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { layoutOf } from '../../src/executor/linux/layout.ts'
import { linkGroup } from '../../src/network/bridge.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { hostLacks, testUnless } from '../support/skip.ts'
import { number, told, within } from './damage.ts'
import { inside, pidOf } from './lab.ts'
import { lacking, type PlanJson, type Row, runs, SERVES, SLEEPS, stage } from './stage.ts'

const WEB = runs(
  'mkdir -p /tmp/w; echo hi > /tmp/w/index.html; httpd -p 81 -h /tmp/w; exec httpd -f -p 80 -h /tmp/w',
)
const MANIFEST = (policies: string, replicas = 2) => `name: paktp
containers:
  db:
    ${WEB}
    replicas: ${replicas}
    policies: ${policies}
  app:
    ${SLEEPS}
    policies: { egress: { allow: [{ to: db }] } }
    bandwidth: { ingress: 100mbit, egress: 10mbit }
  other:
    ${SLEEPS}
`
const PORT = 82
const ONLY_APP = '{ ingress: { allow: [{ from: app, ports: [80] }] } }'

testUnless(
  test,
  lacking,
  'only who is allowed to gets through, and drift is repaired',
  async () => {
    await using pak = await stage()
    await pak.write('pak.yaml', MANIFEST(ONLY_APP))
    await pak.ok(['up', '-d'])
    assert.equal(await reaches(pak), ['app 80'])
    const pid = await pidOf(pak, 'app')
    const within = execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'tc', 'qdisc'])
    assert.match(String(within), /tbf .* dev eth0 root .*rate 10Mbit/)
    assert.match(String(execFileSync('tc', ['qdisc'])), /tbf .* dev pv\w+ root .*rate 100Mbit/)
    // The name server answers whoever may not go out.
    const names = await inside(pak, 'app', 'nslookup other | grep -c Address')
    assert.equal(names.exitCode, 0)
    assert.equal((await pak.json<PlanJson>(['plan'])).steps, [])
    const told = await pak.ok(['network', 'policy', 'db'])
    assert.match(told, /db +ingress +allow 1 +service app on 80\/tcp +allow/)
    const rules = await pak.json<readonly Told[]>(['network', 'policy', 'db'])
    const dropped = rules.find(({ rule }) => rule === 'default')
    assert.equal([dropped?.verdict, (dropped?.packets ?? 0) > 0], ['deny', true])
    await pak.write('pak.yaml', MANIFEST(ONLY_APP, 3))
    await pak.ok(['up', '-d'])
    assert.equal(await reaches(pak), ['app 80'])
    const kept = await pak.json<readonly Told[]>(['network', 'policy', 'db'])
    assert.ok(
      (kept.find(({ rule }) => rule === 'default')?.packets ?? 0) >= (dropped?.packets ?? 1),
    )
    const [table = ''] = tables().filter((line) => line.includes('_p_'))
    execFileSync('nft', ['flush', 'table', ...table.split(' ').slice(1)])
    const back = () =>
      eventually('the policies are back', async () => {
        assert.equal(await reaches(pak), ['app 80'])
        return true
      })
    await back()
    execFileSync('nft', ['add', ...table.split(' '), '{ flags dormant; }'])
    await back()
    // What is run once comes under the policies of its service.
    const once = (port: number) => {
      const ask = `timeout 2 wget -qO- http://db:${port}/; true`
      return pak.run(['run', '--rm', '-T', 'app', 'sh', '-c', ask])
    }
    assert.is((await once(80)).stdout, 'hi\n')
    assert.is((await once(81)).stdout, '')
    await pak.write(
      'pak.yaml',
      MANIFEST('{ ingress: { default: allow, deny: [{ from: other }] } }'),
    )
    await pak.ok(['up', '-d'])
    assert.equal(await reaches(pak), ['app 80', 'app 81'])
    const before = tables().filter((line) => line.includes('_p_')).length
    await pak.ok(['down'])
    assert.is(tables().filter((line) => line.includes('_p_')).length, before - 1)
  },
)

/** Sends UDP from one address to another in frames of the attacker's own making. */
const FRAMES = `
use strict; use Socket;
my ($index, $from, $to, $ours, $theirs, $port) = @ARGV;
my $mac = sub { pack('H12', join('', split(/:/, $_[0]))) };
socket(my $wire, 17, SOCK_RAW, 0) or die $!;
my $sum = sub { my $all = 0; $all += $_ for unpack('n*', $_[0]); $all = ($all & 0xffff) + ($all >> 16) for 1..2; ~$all & 0xffff };
my $send = sub {
  my ($target, $tag, $word) = @_;
  my $udp = pack('nnnn', 4000, $port, 8 + length($word) + 1, 0) . "$word\n";
  my $head = sub { pack('CCnnnCCna4a4', 0x45, 0, 20 + length($udp), 1, 0, 64, 17, $_[0], inet_aton($from), inet_aton($to)) };
  my $frame = $mac->($target) . $mac->($ours) . $tag . pack('n', 0x0800) . $head->($sum->($head->(0))) . $udp;
  send($wire, $frame, 0, pack('SnlSCCa8', 17, 0x0800, $index, 0, 0, 6, $mac->($target))) or die $!;
};
$send->($theirs, '', 'plain');
$send->($theirs, pack('nn', 0x8100, 0), 'tagged');
$send->($theirs, pack('nn', 0x88a8, 0), 'double');
$send->('ff:ff:ff:ff:ff:ff', '', 'broadcast');
$send->('ff:ff:ff:ff:ff:ff', pack('nn', 0x8100, 0), 'tagged-broadcast');
$send->('01:00:5e:00:00:fb', '', 'multicast');
`

/** Says that it listens, then what it hears for a second after something was said, or four without. */
const EAR = `
use strict; use Socket; $| = 1;
socket(my $ear, PF_INET, SOCK_DGRAM, 0) or die $!;
bind($ear, pack_sockaddr_in($ARGV[0], INADDR_ANY)) or die $!;
print "ready\\n";
for (my ($left, $bits) = (4, ''); vec($bits, fileno($ear), 1) = 1, select($bits, undef, undef, $left); $left = 1) {
  recv($ear, my $heard, 1500, 0); print $heard;
}
`

testUnless(
  test,
  lacking ?? hostLacks('perl'),
  'frames of another make get no further: tags, and broadcasts for one',
  async () => {
    await using pak = await stage()
    const services = (policies: string) => `name: paktp
containers:
  ear:
    ${SLEEPS}
    policies: ${policies}
  other:
    ${SLEEPS}
`
    const heard = async (policies: string) => {
      await pak.write('pak.yaml', services(policies))
      await pak.ok(['up', '-d'])
      const [from, to] = [await pidOf(pak, 'other'), await pidOf(pak, 'ear')]
      const [ours, theirs] = [endOf(from), endOf(to)]
      const words = [ours.index, ours.address, theirs.address, ours.mac, theirs.mac, PORT]
      const ear = spawn('nsenter', [`--net=/proc/${to}/ns/net`, 'perl', '-e', EAR, String(PORT)])
      let said = ''
      ear.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString()
      })
      const ended = once(ear, 'close')
      await eventually('it listens', () => said.startsWith('ready'))
      within(from, 'net', 'perl', '-e', FRAMES, ...words.map(String))
      await ended
      return said.trim().split('\n').slice(1)
    }
    assert.ok((await heard('{ ingress: { default: allow } }')).includes('plain'))
    assert.equal(await heard('{ ingress: { default: deny } }'), [])
    await pak.ok(['down'])
  },
)

testUnless(
  test,
  lacking,
  'who is on a network with policies is known there, however it came and whosever it is',
  async () => {
    await using pak = await stage()
    await pak.write(
      'one/pak.yaml',
      `name: paktp
containers:
  web:
    ${SERVES}
    networks: { net: { mac_address: 02:11:22:33:44:56 } }
    policies: { ingress: { allow: [{ from: [{ network: net }], ports: [80] }] } }
  app:
    ${SLEEPS}
    restart: always
    networks: { net: { mac_address: 02:11:22:33:44:58 } }
networks:
  net: { enable_ipv6: true, attachable: true }
`.replaceAll('./rootfs', '../rootfs'),
    )
    await pak.write(
      'two/pak.yaml',
      `name: paktq
containers:
  guest:
    ${SLEEPS}
    networks: [far]
networks:
  far: { external: true, name: paktp/net }
`.replaceAll('./rootfs', '../rootfs'),
    )
    const one = (...words: readonly string[]) => pak.ok(['-f', 'one/pak.yaml', ...words])
    const two = (...words: readonly string[]) => pak.ok(['-f', 'two/pak.yaml', ...words])
    const asks = ['sh', '-c', 'nc -w 3 web 80 < /tmp/ask | tail -1'] as const
    const ready = 'printf "GET / HTTP/1.0\\r\\n\\r\\n" > /tmp/ask'
    await one('up', '-d')
    await two('up', '-d')
    const [row] = JSON.parse(await one('ps', '--format', 'json', 'app')) as readonly Row[]
    await one('exec', '-T', 'app', 'sh', '-c', ready)
    await two('exec', '-T', 'guest', 'sh', '-c', ready)
    const all = async (what: string) => {
      await eventually(
        `a neighbour: ${what}`,
        async () => (await one('exec', '-T', 'app', ...asks)) !== '',
      )
      await eventually(
        `a guest: ${what}`,
        async () => (await two('exec', '-T', 'guest', ...asks)) !== '',
      )
    }
    await all('at first')
    assert.is.not(await one('run', '--rm', '-T', 'app', 'sh', '-c', `${ready}; ${asks[2]}`), '')
    process.kill(row?.pid ?? 0, 'SIGKILL')
    await eventually(
      'it runs again',
      async () => (await one('exec', '-T', 'app', 'sh', '-c', ready)) === '',
    )
    await all('after a restart')
    const { table } = layoutOf(pak)
    for (const line of tables().filter((each) => each.includes(table)))
      execFileSync('nft', ['delete', ...line.split(' ')])
    await all('after the tables were lost')
    const group = linkGroup(row?.networks['net']?.ip ?? '')
    const veth = vethOf(group)
    execFileSync('ip', ['link', 'set', veth ?? '', 'group', '0'])
    await eventually('the firewall knows the veth again', () => vethOf(group) === veth)
    await told(pak, /was of group 0, should be/)
  },
)

/** The host's end of a container's interface. */
const vethOf = (group: number): string | undefined =>
  readdirSync('/sys/class/net').find(
    (name) => name.startsWith('pv') && number(`/sys/class/net/${name}/netdev_group`) === group,
  )

/** The first interface of a process's network. */
function endOf(pid: number) {
  const [end] = JSON.parse(within(pid, 'net', 'ip', '-j', '-4', 'address', 'show', 'eth0')) as {
    readonly ifindex: number
    readonly addr_info: readonly { readonly local: string }[]
  }[]
  const [link] = JSON.parse(within(pid, 'net', 'ip', '-j', 'link', 'show', 'eth0')) as {
    readonly address: string
  }[]
  return {
    index: end?.ifindex ?? 0,
    address: end?.addr_info[0]?.local ?? '',
    mac: link?.address ?? '',
  }
}

interface Told {
  readonly rule: string
  readonly verdict: string
  readonly packets: number
}

const tables = (): readonly string[] =>
  execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }).trim().split('\n')

/** Who gets an answer of `db`, and where. */
async function reaches(pak: PakSandbox): Promise<readonly string[]> {
  const asked = ['app', 'other'].map(async (service) => {
    const ask = (port: number) =>
      `timeout 2 wget -qO- http://db:${port}/ | grep -q hi && echo ${port} &`
    const { stdout } = await inside(pak, service, `${ask(80)} ${ask(81)} wait`)
    return stdout
      .split('\n')
      .flatMap((line) => (line.trim() === '' ? [] : `${service} ${line.trim()}`))
  })
  return (await Promise.all(asked)).flat().sort()
}

test.run()
