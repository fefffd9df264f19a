import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ownScript } from '../../agent/launch.ts'
import { unitName, unitText } from '../../agent/unit.ts'
import { PakError } from '../../errors.ts'
import { hostKernel } from '../../kernel/host.ts'
import { statOf } from '../../kernel/process.ts'
import type { Globals } from '../globals.ts'
import type { Invocation } from '../grammar.ts'
import { rootsOf, runningAgent } from '../session.ts'

const UNITS = '/etc/systemd/system'
const TIMEOUT_MS = 120_000

/** What was done, for a reader; with `--print` the unit itself, and nothing is done. */
export async function install({ flags, globals }: Invocation): Promise<string> {
  const roots = rootsOf(globals)
  const { node, script } = ownScript()
  const text = unitText([...node, script], roots)
  if (flags.on('print')) return text.trimEnd()
  await needSystemd()
  const name = unitName(roots)
  await hostKernel.replaceFile(join(UNITS, name), text, 0o644)
  try {
    await systemctl('daemon-reload')
    await stopOwn(globals)
    await systemctl('enable', '--now', name)
  } catch (error) {
    await remove(name)
    throw error
  }
  return `${name} is enabled and runs`
}

export async function uninstall({ globals }: Invocation): Promise<string> {
  await needSystemd()
  const name = unitName(rootsOf(globals))
  if (!(await hostKernel.exists(join(UNITS, name))))
    throw new PakError('not_found', `uninstall agent: there is no ${join(UNITS, name)}`)
  await systemctl('disable', '--now', name)
  await remove(name)
  return `${name} is gone; containers run on`
}

/**
 * When systemd waits for it: the agent answers, and this is the process that lives as long as it does. False
 * when that agent is gone by now.
 */
export async function tellSystemd(agentPid: number): Promise<boolean> {
  const socket = process.env['NOTIFY_SOCKET']
  if (socket === undefined) return true
  // The agent's parent is its supervisor.
  const parent = statOf(hostKernel, agentPid)(4)
  if (parent === null) return false
  const args = ['--ready', `--pid=${parent}`, '--status=looks after containers']
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', NOTIFY_SOCKET: socket }
  const { exitCode, stderr } = await hostKernel.run('systemd-notify', args, { env })
  if (exitCode !== 0) throw new PakError('host', `tell systemd: ${stderr.trim()}`)
  return true
}

async function needSystemd(): Promise<void> {
  // sd_booted(3)
  if (await hostKernel.exists('/run/systemd/system')) return
  throw new PakError('host', 'install agent: systemd does not run here', {
    hint: 'pak agent install --print shows the unit; other service managers run `pak agent run`',
  })
}

/** Containers run on, and the one that systemd starts takes them up. */
async function stopOwn(globals: Globals): Promise<void> {
  await (await runningAgent(globals))?.stop()
}

async function remove(name: string): Promise<void> {
  await rm(join(UNITS, name), { force: true })
  await systemctl('daemon-reload')
}

async function systemctl(...args: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await hostKernel.run('systemctl', args, { timeoutMs: TIMEOUT_MS })
  if (exitCode === 0) return
  throw new PakError('host', `systemctl ${args.join(' ')}: ${stderr.trim() || 'refused'}`)
}
