import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { unitName, unitText } from '../../src/agent/unit.ts'
import { hostLacks, testUnless } from '../support/skip.ts'

const USUAL = { root: '/var/lib/pak', runRoot: '/run/pak', runtime: 'crun' }
const ODD = { root: '/srv/50% "of" $HOME', runRoot: '/run/pak two', runtime: 'crun' }

test('each pair of roots has a unit of its own; the usual one is pak.service', () => {
  assert.is(unitName(USUAL), 'pak.service')
  assert.match(unitName(ODD), /^pak-[0-9a-f]{8}\.service$/)
  assert.is.not(unitName(ODD), unitName({ ...ODD, root: '/srv/other' }))
})

test('systemd waits for the agent, and leaves containers alone', () => {
  const text = unitText(['/usr/bin/node', '/opt/pak.js'], USUAL)
  const start = 'ExecStart=/usr/bin/node /opt/pak.js --root /var/lib/pak --run-root /run/pak'
  assert.ok(text.includes(`${start} --runtime crun agent start --stay\n`))
  for (const line of ['Type=notify', 'KillMode=process', 'Delegate=yes', 'Restart=on-failure'])
    assert.ok(text.includes(`\n${line}\n`), line)
})

test('what a path holds means itself', () => {
  const text = unitText(['/usr/bin/node', '/opt/pak.js'], ODD)
  assert.ok(text.includes('--root "/srv/50%% \\"of\\" $$HOME" --run-root "/run/pak two"'), text)
})

testUnless(test, hostLacks('systemd-analyze'), 'systemd finds nothing wrong with it', () => {
  const text = unitText([process.execPath, import.meta.filename], USUAL)
  assert.equal(complaints(text), [])
  assert.is(complaints(text.replace('Type=notify', 'Type=nonsense')).length, 1)
})

/** What systemd-analyze(1) says of a unit's own lines. */
function complaints(text: string): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'pakt-unit-'))
  const path = join(folder, 'pak.service')
  writeFileSync(path, text)
  const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], {
    encoding: 'utf8',
  })
  rmSync(folder, { recursive: true })
  return stderr.split('\n').filter((line) => line.includes('pak.service'))
}

test.run()
