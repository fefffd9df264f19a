import { PakError } from '../../errors.ts'
import { ipBatch } from '../../kernel/ip.ts'
import { vlanOf } from '../../model/lan.ts'
import { isLan } from '../../model/network-kind.ts'
import { parentBatch } from '../../network/lan.ts'
import type { LinuxHost } from './host.ts'
import type { NetworkRecord } from './records.ts'

/** Of a network on a LAN: whether pak has, or takes on, its parent. Throws `network` where there is none to be had. */
export async function withParent(host: LinuxHost, record: NetworkRecord): Promise<NetworkRecord> {
  const { lan, name } = record.spec
  if (lan === undefined || record.made === true) return record
  if (await host.kernel.exists(`/sys/class/net/${record.bridge}`)) return record
  if (lan.parent === null || vlanOf(lan.parent) !== null) return { ...record, made: true }
  throw noSuchParent(name, lan.parent)
}

export const noSuchParent = (network: string, parent: string): PakError =>
  new PakError('network', `network \`${network}\`: this machine has no link \`${parent}\``, {
    hint: 'ip link lists those it has',
  })

/** Make those that are pak's to make, or bring them up again. */
export async function raiseParents(
  host: LinuxHost,
  records: readonly NetworkRecord[],
): Promise<void> {
  const made = records.filter((record) => isLan(record.spec) && record.made === true)
  const names = [...new Set(made.map(({ bridge }) => bridge))]
  const lines = await Promise.all(
    names.map(async (name) =>
      parentBatch(name, await host.kernel.exists(`/sys/class/net/${name}`)),
    ),
  )
  await ipBatch(host.kernel, lines.flat())
}

/** Those that go with networks; what others still hang on is theirs from now on. */
export async function orphanedParents(
  host: LinuxHost,
  project: string,
  leaving: readonly NetworkRecord[],
): Promise<readonly string[]> {
  const going = leaving.filter((record) => isLan(record.spec) && record.made === true)
  const orphans: string[] = []
  for (const record of going) {
    const heir = host.records
      .loaded()
      .flatMap(({ name, networks }) => [...networks.values()].map((one) => ({ name, one })))
      .filter(({ one }) => isLan(one.spec) && one.bridge === record.bridge)
      .find(
        ({ name, one }) =>
          name !== project || !leaving.some(({ spec }) => spec.name === one.spec.name),
      )
    if (heir === undefined) orphans.push(record.bridge)
    else await host.records.putNetwork(heir.name, { ...heir.one, made: true })
  }
  return [...new Set(orphans)]
}

const IFF_UP = 1

/** What the parent lacks; `null`: nothing. Of a link that is the host's own only that it is there. Never waits. */
export function parentDrift(host: LinuxHost, { bridge, made }: NetworkRecord): string | null {
  const flags = host.kernel.readNow(`/sys/class/net/${bridge}/flags`)
  if (flags === null) return `parent ${bridge} is gone`
  return made === true && (Number(flags) & IFF_UP) === 0 ? `parent ${bridge} was down` : null
}
