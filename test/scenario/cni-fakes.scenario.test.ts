// not in the emulated machine: nothing of it depends on the version of cgroups, and it starts dozens of programs
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { busyboxRootfs } from '../support/busybox.ts'
import { eventually } from '../support/eventually.ts'
import type { PakSandbox } from '../support/pak.ts'
import { testUnless } from '../support/skip.ts'
import { fleet, tellIn } from './machines.ts'
import { lacking, pids, SLEEPS } from './stage.ts'

testUnless(
  test,
  lacking,
  'a failed ADD is undone over the whole chain, a hostile answer names its plugin, who is gone is told',
  async () => {
    await using machines = await fleet(1)
    const [pak] = machines.sandboxes
    assert.ok(pak)
    await busyboxRootfs(join(pak.folder, 'rootfs'))
    const fakes = await fakePlugins(pak)
    const env = { CNI_PATH: fakes.folder }
    await pak.write('pak.yaml', FAKE_MANIFEST)
    await fakes.mode('fail')
    const failed = await pak.run(['up', '-d'], { env })
    assert.is(failed.exitCode, 1)
    assert.match(failed.stderr, 'cni plugin `second`, ADD: no room: the cellar is full')
    const calls = await fakes.calls()
    assert.equal(
      calls
        .map(({ plugin, command }) => `${command} ${plugin}`)
        .filter((each) => !each.startsWith('VERSION') && !each.startsWith('GC')),
      ['ADD first', 'ADD second', 'DEL second', 'DEL first'],
    )
    const [, , undone] = calls.filter(({ command }) => command === 'ADD' || command === 'DEL')
    assert.equal(undone?.input['prevResult'], RESULT)
    for (const [mode, words] of [
      ['garbage', 'cni plugin `second`, ADD: its answer is no JSON object'],
      ['flood', 'cni plugin `second`, ADD: it says more than 256 KiB'],
    ] as const) {
      await fakes.mode(mode)
      assert.match((await pak.run(['up', '-d'], { env })).stderr, words)
    }
    await fakes.mode('fine')
    await pak.ok(['up', '-d'], { env })
    const pid = (await pids(pak))['paktfake-one-1'] ?? 0
    assert.match(await tellIn(pid, 'cat', '/etc/resolv.conf'), 'nameserver 192.0.2.53\n')
    await fakes.forget()
    await goneWhileDead(pak, fakes)
    await pak.ok(['down'])
    const last = (await fakes.calls()).filter(({ command }) => command === 'GC')
    assert.ok(last.length > 0)
    assert.equal(last.at(-1)?.input['cni.dev/valid-attachments'], [])
  },
)

/** Its container dies while there is no agent: the next one finds what was made for it, and undoes it. */
async function goneWhileDead(pak: PakSandbox, fakes: Fakes): Promise<void> {
  const { pid: agent } = await pak.json<{ pid: number }>(['agent', 'status'])
  const container = (await pids(pak))['paktfake-one-1'] ?? 0
  process.kill(agent, 'SIGKILL')
  process.kill(container, 'SIGKILL')
  await eventually('undone', async () => {
    await pak.run(['ps'])
    const deleted = (await fakes.calls()).filter(({ command }) => command === 'DEL')
    return deleted.map(({ plugin }) => plugin).join(' ') === 'second first'
  })
  const [first] = (await fakes.calls()).filter(({ command }) => command === 'DEL')
  assert.equal(first?.input['prevResult'], RESULT)
}

const RESULT = {
  cniVersion: '1.1.0',
  interfaces: [{ name: 'eth0', sandbox: '/netns' }],
  dns: { nameservers: ['192.0.2.53'] },
}

const FAKE_MANIFEST = `name: paktfake
containers:
  one:
    ${SLEEPS}
    networks: [back]
networks:
  back:
    driver: cni
    cni: { cniVersion: 1.1.0, disableCheck: true, plugins: [{ type: first }, { type: second }] }
`

interface Fakes {
  readonly folder: string
  mode(word: string): Promise<void>
  calls(): Promise<readonly FakeCall[]>
  forget(): Promise<void>
}

interface FakeCall {
  readonly plugin: string
  readonly command: string
  readonly input: Readonly<Record<string, unknown>>
}

/** Two plugins that write down how they were called; the second does what `mode` says. */
async function fakePlugins(pak: PakSandbox): Promise<Fakes> {
  const folder = join(pak.folder, 'plugins')
  const log = join(pak.folder, 'calls')
  const says = (text: string) => `printf '%s' '${text}'`
  const script = (plugin: string) => `#!/bin/sh
printf '{"plugin":"${plugin}","command":"%s","input":%s}\\n' "$CNI_COMMAND" "$(cat)" >> ${log}
case "$CNI_COMMAND $(cat ${join(pak.folder, 'mode')}) ${plugin}" in
  VERSION*) ${says('{"cniVersion":"1.1.0","supportedVersions":["1.0.0","1.1.0"]}')} ;;
  "ADD fail second") ${says('{"code":100,"msg":"no room","details":"the cellar is full"}')}; exit 1 ;;
  "ADD garbage second") echo "<html>" ;;
  "ADD flood second") head -c 400000 /dev/zero | tr '\\0' x ;;
  ADD*) ${says(JSON.stringify(RESULT))} ;;
esac
`
  for (const plugin of ['first', 'second'])
    await chmod(await pak.write(join('plugins', plugin), script(plugin)), 0o755)
  return {
    folder,
    mode: async (word) => void (await pak.write('mode', word)),
    calls: async () => {
      const text = await readFile(log, 'utf8').catch(() => '')
      return text.split('\n').flatMap((line) => (line === '' ? [] : (JSON.parse(line) as FakeCall)))
    },
    forget: async () => void (await pak.write('calls', '')),
  }
}

test.run()
