import { spawnSync } from 'node:child_process'
import { hostKernel } from '../../src/kernel/host.ts'
import { type Machine, machine } from '../network/lab.ts'
import { type PakSandbox, pakSandbox } from '../support/pak.ts'
import { hostLacks } from '../support/skip.ts'

/** Machines on one net, 192.0.2.1 and so on, with a pak in each. */
export interface Fleet extends AsyncDisposable {
  readonly machines: readonly Machine[]
  /** What all of them are plugged into, a bridge `net0`. */
  readonly exchange: Machine
  readonly sandboxes: readonly PakSandbox[]
  /** Pull or put back the cable of a machine. */
  plug(index: number, state: 'up' | 'down'): Promise<void>
}

/** `bare`: the last so many have no pak. */
export async function fleet(size: number, bare = 0): Promise<Fleet> {
  const exchange = await machine()
  await exchange.run('ip', 'link', 'add', 'net0', 'type', 'bridge')
  await exchange.run('ip', 'link', 'set', 'net0', 'up')
  const machines: Machine[] = []
  const sandboxes: PakSandbox[] = []
  for (let index = 0; index < size; index++) {
    const one = await machine()
    machines.push(one)
    await plugIn(exchange, one, index)
    if (index < size - bare) sandboxes.push(await pakSandbox(undefined, within(one)))
  }
  return {
    machines,
    exchange,
    sandboxes,
    async plug(index, state) {
      await exchange.run('ip', 'link', 'set', `port${index}`, state)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(sandboxes.map((sandbox) => sandbox[Symbol.asyncDispose]()))
      await Promise.all([...machines, exchange].map((one) => one[Symbol.asyncDispose]()))
    },
  }
}

async function plugIn(exchange: Machine, one: Machine, index: number): Promise<void> {
  const peer = ['peer', 'name', 'up0', 'netns', `${one.pid}`]
  await exchange.run('ip', 'link', 'add', `port${index}`, 'type', 'veth', ...peer)
  await exchange.run('ip', 'link', 'set', `port${index}`, 'master', 'net0', 'up')
  await one.run('ip', 'addr', 'add', `192.0.2.${index + 1}/24`, 'dev', 'up0')
  await one.run('ip', 'link', 'set', 'up0', 'up')
}

/** As commands of that machine: what /sys shows of networks is of the namespace that mounts it. */
export const within = (host: Machine): readonly string[] => [
  ...['nsenter', '--net', '-t', `${host.pid}`, 'unshare', '--mount', '--propagation', 'slave'],
  ...['sh', '-ec', SYS, 'sh'],
]
const SYS = `mount -t tmpfs tmpfs /mnt
mkdir /mnt/cgroup
mount --rbind /sys/fs/cgroup /mnt/cgroup
mount -t sysfs sysfs /sys
mount --rbind /mnt/cgroup /sys/fs/cgroup
umount -l /mnt
exec "$@"`

/** A reason why nothing can be encrypted here, or `null`. */
export function lacksWireguard(): string | null {
  const words = ['--net', '--', 'ip', 'link', 'add', 'name', 'pw0', 'type', 'wireguard']
  const { status } = spawnSync('unshare', words, { stdio: 'ignore' })
  return status === 0 ? hostLacks('wg') : 'this kernel has no WireGuard'
}

/** A command with the network and the files of a container's process, without pak in between. */
export async function tellIn(pid: number, ...command: readonly string[]): Promise<string> {
  const inside = ['--net', '--mount', '-t', `${pid}`, '--', ...command]
  return (await hostKernel.run('nsenter', inside)).stdout
}
