import type { ObservedContainer, ObservedState } from '../model/observed.ts'
import { calledBy, SHARED } from '../model/shared.ts'
import { stateWord } from '../model/status.ts'
import type { ContainerRow, NetworkRow } from './wire.ts'

/** What `ps -a` shows of a project. */
export function containerRows(observed: ObservedState): readonly ContainerRow[] {
  return observed.containers.map((container) => containerRow(observed.project, container))
}

export function networkRows({ project, networks }: ObservedState): readonly NetworkRow[] {
  return networks.map(({ spec, subnet, gateway, ipv6, bridge }) => ({
    name: spec.name,
    project: project === SHARED ? null : project,
    driver: spec.driver,
    subnet,
    gateway,
    subnet6: ipv6?.subnet ?? null,
    gateway6: ipv6?.gateway ?? null,
    bridge,
    internal: spec.internal,
  }))
}

function containerRow(project: string, container: ObservedContainer): ContainerRow {
  const { status, spec } = container
  const live = status.state === 'running' || status.state === 'paused' ? status : null
  const ended = status.state === 'stopped' ? status : null
  return {
    project,
    service: container.service,
    container: container.name,
    id: container.id,
    state: stateWord(status),
    health: live?.health ?? null,
    exitCode: ended?.exitCode ?? null,
    oomKilled: ended?.oomKilled ?? false,
    restartCount: container.restartCount,
    pid: live?.pid ?? null,
    image: spec.source.kind === 'image' ? spec.source.reference : `rootfs:${spec.source.path}`,
    ports: spec.ports.map(({ hostIp, published, target, protocol }) => {
      return { hostIp, published, target, protocol }
    }),
    networks: Object.fromEntries(
      Object.entries(container.addresses).map(([network, ip]) => [
        calledBy(network),
        { ip, ip6: container.addresses6?.[network] ?? null },
      ]),
    ),
    createdAt: container.createdAt,
    startedAt: live?.startedAt ?? ended?.startedAt ?? null,
    finishedAt: ended?.finishedAt ?? null,
  }
}
