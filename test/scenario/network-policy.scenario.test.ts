// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts Node dozens of times

import { execFileSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { inside, pidOf } from './lab.ts'
import { lacking, type PlanJson, runs, SLEEPS, stage } from './stage.ts'

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
    await eventually('the policies are back', async () => {
      assert.equal(await reaches(pak), ['app 80'])
      return true
    })
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
