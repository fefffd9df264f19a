import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JsonObject } from '../../../src/model/cni.ts'
import { capabilitiesOf } from '../../../src/network/cni/capabilities.ts'
import {
  addAttachment,
  checkAttachment,
  collectGarbage,
  deleteAttachment,
} from '../../../src/network/cni/chain.ts'
import type { CniAnswer, CniDoor } from '../../../src/network/cni/door.ts'
import { complaintOf } from '../../../src/network/cni/failure.ts'
import type { CniAttachment, NamedCniNetwork } from '../../../src/network/cni/request.ts'
import { parseResult } from '../../../src/network/cni/result.ts'

const network = (version: string): NamedCniNetwork => ({
  version,
  name: 'net',
  path: ['/opt/mine'],
  plugins: [
    { type: 'bridge', capabilities: ['mac'], config: { bridge: 'cni0' } },
    { type: 'portmap', capabilities: ['portMappings'], config: { name: 'other' } },
  ],
})

const attachment: CniAttachment = {
  container: 'abc',
  label: { project: 'shop', name: 'shop-web-1' },
  netns: '/run/netns/x',
  ifname: 'eth0',
  capabilities: { mac: '02:00:00:00:00:01', portMappings: [], ips: ['10.0.0.9'] },
}

const RESULT = { cniVersion: '1.0.0', ips: [{ address: '10.1.0.2/24', gateway: '10.1.0.1' }] }

interface Seen {
  readonly call: string
  readonly input: JsonObject
  readonly environment: Readonly<Record<string, string>>
}

/** Answers as it is told, `COMMAND plugin` -> answer; all else succeeds with a result. */
function door(answers: Readonly<Record<string, Partial<CniAnswer>>> = {}) {
  const seen: Seen[] = []
  const run: CniDoor = async ({ plugin, command, input, environment }) => {
    const call = `${command} ${plugin}`
    seen.push({ call, input: JSON.parse(input), environment: environment(['/opt/mine', '/x']) })
    return { exitCode: 0, stdout: JSON.stringify(RESULT), stderr: '', ...answers[call] }
  }
  return { run, seen, calls: () => seen.map(({ call }) => call) }
}

const nothing = async () => {}

test('each plugin gets its own configuration, the result before, and what it declares', async () => {
  const { run, seen } = door()
  await addAttachment({ network: network('1.0.0'), door: run }, attachment, nothing)
  assert.equal(
    seen.map(({ input }) => input),
    [
      {
        bridge: 'cni0',
        runtimeConfig: { mac: '02:00:00:00:00:01' },
        type: 'bridge',
        cniVersion: '1.0.0',
        name: 'net',
      },
      {
        name: 'net',
        runtimeConfig: { portMappings: [] },
        prevResult: RESULT,
        type: 'portmap',
        cniVersion: '1.0.0',
      },
    ],
  )
  assert.equal(seen[0]?.environment, {
    CNI_COMMAND: 'ADD',
    CNI_PATH: '/opt/mine:/x',
    CNI_CONTAINERID: 'abc',
    CNI_NETNS: '/run/netns/x',
    CNI_IFNAME: 'eth0',
    CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=shop-web-1',
  })
})

test("a failure is the plugin's words, and nobody after it runs", async () => {
  const said = { code: 7, msg: 'no', details: 'really\u001b[31m no' }
  const { run, calls } = door({ 'ADD bridge': { exitCode: 1, stdout: JSON.stringify(said) } })
  const chain = { network: network('1.0.0'), door: run }
  const error = await addAttachment(chain, attachment, nothing).catch((reason: unknown) => reason)
  assert.match(String(error), 'cni plugin `bridge`, ADD: no: really [31m no')
  assert.equal(calls(), ['ADD bridge'])
})

test('garbage, and results that are none, name the plugin', async () => {
  for (const [stdout, words] of [
    ['<html>', 'its answer is no JSON object'],
    ['[]', 'its answer is no JSON object'],
    ['{"ips":[{"address":"10.0.0.300/24"}]}', 'its answer is no result: `ips` has an address'],
    ['{"ips":{}}', '`ips` is no list'],
    ['{"interfaces":[{"name":"a b"}]}', 'has no name that could be one'],
    [JSON.stringify({ ips: Array(65).fill({ address: '10.0.0.1/8' }) }), 'more than 64'],
  ] as const) {
    const { run } = door({ 'ADD bridge': { stdout } })
    const chain = { network: network('1.0.0'), door: run }
    const error = await addAttachment(chain, attachment, nothing).catch((reason: unknown) => reason)
    assert.match(String(error), 'cni plugin `bridge`, ADD: ')
    assert.match(String(error), words)
  }
})

test('undone in reverse to the end, whatever one says', async () => {
  const { run, seen, calls } = door({ 'DEL portmap': { exitCode: 2, stderr: 'log\npanic: oh' } })
  const chain = { network: network('1.0.0'), door: run }
  const error = await deleteAttachment(chain, attachment, RESULT).catch((reason: unknown) => reason)
  assert.match(String(error), 'cni plugin `portmap`, DEL: panic: oh')
  assert.equal(calls(), ['DEL portmap', 'DEL bridge'])
  assert.equal(
    seen.map(({ input }) => input['prevResult']),
    [RESULT, RESULT],
  )
})

test('CHECK and GC are of versions that have them, and who is doubted is not asked', async () => {
  const old = door()
  const before = { network: network('0.3.1'), door: old.run }
  assert.equal(await checkAttachment(before, attachment, { result: RESULT, except: [] }), [])
  assert.equal(await collectGarbage({ network: network('1.0.0'), door: old.run }, []), [])
  assert.equal(old.calls(), [])
  const failing = { exitCode: 1, stdout: '{"msg":"lost"}' }
  const { run, calls, seen } = door({ 'CHECK bridge': failing, 'GC bridge': failing })
  const chain = { network: network('1.1.0'), door: run }
  const complaints = await checkAttachment(chain, attachment, { result: RESULT, except: [1] })
  assert.equal(complaints, [{ at: 0, words: 'cni plugin `bridge`, CHECK: lost' }])
  const valid = [{ containerID: 'abc', ifname: 'eth0' }]
  assert.is((await collectGarbage(chain, valid)).length, 1)
  assert.equal(calls(), ['CHECK bridge', 'GC bridge', 'GC portmap'])
  assert.equal(seen[1]?.input['cni.dev/valid-attachments'], valid)
  assert.not.ok('CNI_CONTAINERID' in (seen[1]?.environment ?? {}))
})

test('of a result the addresses that are in the container', () => {
  const { ips, hostLinks, dns } = parseResult({
    interfaces: [{ name: 'cni0' }, { name: 'veth1' }, { name: 'eth0', sandbox: '/x' }],
    ips: [
      { address: '10.1.0.2/24', gateway: '10.1.0.1', interface: 2 },
      { address: '10.1.0.1/24', interface: 0 },
      { address: 'FD00:0::2/64' },
    ],
    dns: { nameservers: ['10.1.0.1', 'x'], domain: 'lan', options: ['ndots:2', 'a b'] },
  })
  assert.equal(ips, [
    { address: '10.1.0.2', prefix: 24, gateway: '10.1.0.1' },
    { address: 'fd00::2', prefix: 64, gateway: null },
  ])
  assert.equal(hostLinks, ['cni0', 'veth1'])
  assert.equal(dns, { nameservers: ['10.1.0.1'], search: ['lan'], options: ['ndots:2'] })
})

test('capabilities in the words of the conventions', () => {
  assert.equal(
    capabilitiesOf({
      attachment: { network: 'back', aliases: [], ipv4: '10.1.0.9', mac: '02:00:00:00:00:01' },
      names: ['web'],
      ports: [
        { hostIp: '0.0.0.0', published: 8080, target: 80, protocol: 'tcp' },
        { hostIp: '127.0.0.1', published: 53, target: 53, protocol: 'udp' },
      ],
      bandwidth: { ingressBits: 100_000_000, egressBits: null },
    }),
    {
      aliases: ['web'],
      ips: ['10.1.0.9'],
      mac: '02:00:00:00:00:01',
      portMappings: [
        { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
        { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '127.0.0.1' },
      ],
      bandwidth: { ingressRate: 100_000_000, ingressBurst: 250_000 * 8 },
    },
  )
})

test('whatever a plugin says is one bounded line', () => {
  const silent = { exitCode: 3, stdout: '', stderr: '' }
  assert.is(complaintOf(silent), 'exit status 3, without a word')
  assert.is(complaintOf({ ...silent, stderr: `${'x'.repeat(5000)}` }).length, 1003)
})

test.run()
