import { PakError } from '../../errors.ts'
import type { CniNetwork } from '../../model/cni.ts'
import { parseResult } from '../../network/cni/result.ts'
import { INTERFACE_NAME } from '../../network/words.ts'
import type { LinuxHost } from './host.ts'
import { isNetnsKept, netnsPath } from './netns.ts'
import type { CniRecord } from './records.ts'

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
  const pinned = await isNetnsKept(host, id)
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

async function must(
  running: ReturnType<LinuxHost['kernel']['run']>,
  operation: string,
): Promise<void> {
  const { exitCode, stderr } = await running
  if (exitCode !== 0) throw new PakError('network', `${operation}: ${stderr.trim()}`)
}
