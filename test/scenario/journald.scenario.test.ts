// not in the emulated machine: nothing of it depends on the version of cgroups, and journald takes longer there than a test may
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { busyboxRootfs } from '../support/busybox.ts'
import { eventually } from '../support/eventually.ts'
import { pakSandbox } from '../support/pak.ts'
import { installed, testUnless } from '../support/skip.ts'
import { lacking, runs } from './stage.ts'

const JOURNALD = '/usr/lib/systemd/systemd-journald'
const missing =
  ['perl', 'journalctl', 'unshare', 'nsenter'].find((tool) => !installed(tool)) ??
  [JOURNALD, '/etc/machine-id', '/etc/systemd/journald.conf'].find((path) => !existsSync(path))
const lacksJournal = lacking ?? (missing === undefined ? null : `not installed: ${missing}`)

interface Journal extends AsyncDisposable {
  /** Words before a command that is to find this journal where it always is. */
  readonly within: readonly string[]
  entries(): readonly Readonly<Record<string, string>>[]
}

/** A real journald that nobody but this test sees: in a mount namespace, with its folders in memory. */
async function journal(): Promise<Journal> {
  const folder = await fs.mkdtemp(join(tmpdir(), 'pakt-journal-'))
  await fs.writeFile(join(folder, 'id'), `${'0123456789abcdef'.repeat(2)}\n`)
  await fs.writeFile(join(folder, 'conf'), '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n')
  const script = `
    for at in /run/log /run/systemd; do mkdir -p $at && mount -t tmpfs tmpfs $at; done
    mkdir -p /run/systemd/journal /run/log/journal
    mount --bind ${folder}/id /etc/machine-id && mount --bind ${folder}/conf /etc/systemd/journald.conf
    exec ${JOURNALD}`
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', '-ec', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ended = once(child, 'close')
  const within = ['nsenter', '--target', String(child.pid), '--mount', '--']
  await eventually('the journal’s socket', () =>
    existsSync(`/proc/${child.pid}/root/run/systemd/journal/socket`),
  )
  return {
    within,
    entries: () => {
      const [nsenter = '', ...words] = within
      const args = [...words, 'journalctl', '--all', '-o', 'json', 'CONTAINER_NAME=paktj-web-1']
      const text = execFileSync(nsenter, args, { encoding: 'utf8' })
      return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await ended
      await fs.rm(folder, { recursive: true })
    },
  }
}

testUnless(
  test,
  lacksJournal,
  'lines are in a real journal with the names that Docker gives',
  async () => {
    await using real = await journal()
    await using pak = await pakSandbox(undefined, real.within)
    await busyboxRootfs(join(pak.folder, 'rootfs'))
    const script =
      'echo out; echo "PRIORITY=0" >&2; printf "a\\\\001b\\\\377\\\\n"; exec sleep 100000'
    await pak.write(
      'pak.yaml',
      `name: paktj\ncontainers:\n  web:\n    ${runs(script)}\n    network_mode: none\n    labels: { com.example.tier: front }\n    logging: { driver: journald, options: { tag: "shop/{{.Name}}", labels: com.example.tier } }\n`,
    )
    // nsenter begins in the root folder.
    const file = ['-f', join(pak.folder, 'pak.yaml')]
    await pak.ok([...file, 'up', '-d'])
    await eventually('three entries', () => real.entries().length === 3)
    const [{ id = '' } = {}] = await pak.json<readonly { readonly id: string }[]>([...file, 'ps'])
    const said = real.entries().map(({ MESSAGE, PRIORITY }) => [MESSAGE, PRIORITY])
    // Both streams are the container's; what is no text journalctl shows as bytes.
    assert.equal(
      said.sort(([one], [other]) => (String(one) < String(other) ? -1 : 1)),
      [
        [[97, 1, 98, 255], '6'],
        ['PRIORITY=0', '3'],
        ['out', '6'],
      ],
    )
    const entry = real.entries().find(({ MESSAGE }) => MESSAGE === 'out')
    assert.equal(
      {
        identifier: entry?.['SYSLOG_IDENTIFIER'],
        tag: entry?.['CONTAINER_TAG'],
        id: entry?.['CONTAINER_ID'],
        full: entry?.['CONTAINER_ID_FULL'],
        label: entry?.['COM_EXAMPLE_TIER'],
        service: entry?.['PAK_SERVICE'],
      },
      {
        identifier: 'shop/paktj-web-1',
        tag: 'shop/paktj-web-1',
        id: id.slice(0, 12),
        full: id,
        label: 'front',
        service: 'web',
      },
    )
    assert.match(await pak.ok([...file, 'logs', '--no-log-prefix']), 'out\n')
  },
)

test.run()
