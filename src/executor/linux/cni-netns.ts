import { join } from 'node:path'
import { PakError } from '../../errors.ts'
import { mountTable, unmountAll } from '../../kernel/mount.ts'
import type { CniNetwork } from '../../model/cni.ts'
import { INTERFACE_NAME } from '../../network/bridge.ts'
import { parseResult } from '../../network/cni/result.ts'
import type { LinuxHost } from './host.ts'
import type { CniRecord, ContainerRecord } from './records.ts'

/**
 * A path that keeps the namespace, in the agent's own mount namespace: plugins undo their work inside of it
 * when the container's processes are long gone, and some of it only there.
 */
export const netnsPath = ({ layout }: LinuxHost, id: string): string =>
  join(layout.bundle(id), 'netns')

export async function pinNetns(
  host: LinuxHost,
  { record, pid }: { readonly record: ContainerRecord; readonly pid: number },
): Promise<void> {
  if (await isPinned(host, record.id)) return
  const { kernel } = host
  const target = netnsPath(host, record.id)
  await kernel.replaceFile(target, '')
  const args = ['--bind', `/proc/${pid}/ns/net`, target]
  await must(kernel.run('mount', args), `keep network namespace of \`${record.name}\``)
}

export const unpinNetns = async (host: LinuxHost, id: string): Promise<void> => {
  await unmountAll(host.kernel, [netnsPath(host, id)])
}

/** Plugins that know by the container's interface, and by nothing else, which rules of the host to take back. */
const UNDO_BY_INTERFACE = ['bridge', 'ptp']

/**
 * What a DEL is given for a namespace. Where it, or the interface in it, is gone, there is one to look at for
 * those that would leave rules behind otherwise: an interface of that name, with those addresses.
 */
export async function netnsToUndo(
  host: LinuxHost,
  id: string,
  { chain, attached }: { readonly chain: CniNetwork; readonly attached: CniRecord },
): Promise<string> {
  const pinned = await isPinned(host, id)
  const path = netnsPath(host, id)
  const needsOne = chain.plugins.some(({ type }) => UNDO_BY_INTERFACE.includes(type))
  if (!needsOne || attached.result === null) return pinned ? path : ''
  const { kernel, layout } = host
  if (!pinned) {
    await kernel.makeFolder(layout.bundle(id), 0o700)
    await kernel.replaceFile(path, '')
    await must(kernel.run('unshare', [`--net=${path}`, 'true']), 'make a network namespace')
  }
  const within = (...words: readonly string[]) => [`--net=${path}`, 'ip', ...words]
  const { ifname } = attached
  if (!INTERFACE_NAME.test(ifname))
    throw new PakError('network', `interface \`${ifname}\`: refused`)
  const there = await kernel.run('nsenter', within('link', 'show', 'dev', ifname))
  if (there.exitCode === 0) return path
  const lines = [
    `link add name ${ifname} type veth`,
    ...parseResult(attached.result).ips.map(
      ({ address, prefix }) => `addr add ${address}/${prefix} dev ${ifname}`,
    ),
  ]
  const made = kernel.run('nsenter', within('-batch', '-'), { input: `${lines.join('\n')}\n` })
  await must(made, `make interface \`${ifname}\` for plugins to undo`)
  return path
}

/** Not after a reboot, nor in the mount namespace of another agent. */
async function isPinned(host: LinuxHost, id: string): Promise<boolean> {
  const target = await host.kernel.realPath(netnsPath(host, id))
  const table = await mountTable(host.kernel)
  return table.some((mount) => mount.type === 'nsfs' && mount.target === target)
}

async function must(
  running: ReturnType<LinuxHost['kernel']['run']>,
  operation: string,
): Promise<void> {
  const { exitCode, stderr } = await running
  if (exitCode !== 0) throw new PakError('network', `${operation}: ${stderr.trim()}`)
}
