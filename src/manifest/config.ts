import { stringify } from 'yaml'
import type {
  Attachment,
  ContainerSpec,
  DesiredState,
  Healthcheck,
  HealthTest,
  Hook,
  Mount,
  NamespaceMode,
  Network,
  OverlayPeer,
  SecurityOptions,
  Service,
} from '../model/desired.ts'
import type { IoLimit, Limits } from '../model/limits.ts'
import type { PolicyRule, PolicySide } from '../model/policy.ts'
import { cniConfigOf } from './cni-config.ts'
import { declaredExternals } from './external.ts'
import { httpManifest } from './health-test.ts'
import { loggingManifest } from './logging.ts'

type Plain = Readonly<Record<string, unknown>>

/**
 * Desired state in pak.yaml's own words: everything explicit, nothing that depends on the shell, the working
 * folder or another file. Loading it gives the same desired state.
 */
export function toManifest(desired: DesiredState): Plain {
  const externals = declaredExternals(desired)
  return escapeDollars(
    compact({
      name: desired.project,
      limits: limits(desired.limits),
      drift: desired.drift === 'repair' ? null : desired.drift,
      containers: byName(externals.services, service),
      networks: unlessEmpty({ ...byName(desired.networks, network), ...externals.networks }),
      volumes: unlessEmpty({
        ...byName(desired.volumes, ({ labels }) => compact({ labels: unlessEmpty(labels) })),
        ...externals.volumes,
      }),
    }),
  )
}

/** A manifest as YAML text. */
export function manifestText(manifest: unknown): string {
  return stringify(manifest, { lineWidth: 0, aliasDuplicateObjects: false })
}

/** What is read again is searched for variables again. */
function escapeDollars(record: Plain): Plain {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, escaped(value)]))
}

function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$')
  if (Array.isArray(value)) return value.map(escaped)
  return typeof value === 'object' && value !== null ? escapeDollars({ ...value }) : value
}

function byName<T extends { readonly name: string }>(
  things: readonly T[],
  make: (thing: T) => Plain,
): Plain | null {
  return unlessEmpty(Object.fromEntries(things.map((thing) => [thing.name, make(thing)])))
}

/** Without the keys that have nothing to say. */
function compact(record: Plain): Plain {
  return Object.fromEntries(
    Object.entries(record).filter(([, value]) => value !== null && value !== undefined),
  )
}

function unlessEmpty<T extends object>(value: T): T | null {
  return (Array.isArray(value) ? value : Object.keys(value)).length === 0 ? null : value
}

const ifTrue = (value: boolean) => (value ? true : null)

function limits(value: Limits): Plain | null {
  const { cpuMillis, cpuBurstMillis } = value
  return unlessEmpty(
    compact({
      cpu: cpuMillis === null ? null : cpuMillis / 1000,
      cpu_burst: cpuBurstMillis === null ? null : cpuBurstMillis / 1000,
      memory: value.memoryBytes,
      memory_high: value.memoryHighBytes,
      memory_reservation: value.memoryReservationBytes,
      swap: value.swapBytes,
      swappiness: value.swappiness,
      pids: value.pids,
      cpu_weight: value.cpuWeight,
      cpuset: value.cpuset,
      io: unlessEmpty(value.io.map(ioLimit)),
      io_weight: value.ioWeight,
      hugepages: unlessEmpty(value.hugepages),
      oom: value.oom === 'process' ? 'process' : null,
    }),
  )
}

function ioLimit({ kind, path, readBps, writeBps, readIops, writeIops }: IoLimit): Plain {
  return compact({
    [kind]: path,
    read_bps: readBps,
    write_bps: writeBps,
    read_iops: readIops,
    write_iops: writeIops,
  })
}

function network(value: Network): Plain {
  const { driver, internal, subnet, gateway, labels, ipv6, attachable } = value
  return compact({
    driver,
    enable_ipv6: ipv6 === undefined ? null : true,
    ipam: ipam(value),
    driver_opts: driverOptions(value),
    internal: ifTrue(internal),
    subnet,
    // Each peer has its own.
    gateway: value.overlay === undefined ? gateway : null,
    encrypted: ifTrue(value.overlay?.encrypted ?? false),
    peers: value.overlay === undefined ? null : byName(value.overlay.peers, peer),
    cni: value.cni === undefined ? null : cniConfigOf(value.cni),
    attachable: attachable ?? null,
    labels: unlessEmpty(labels),
  })
}

const peer = ({ address, publicKey }: OverlayPeer): Plain =>
  compact({ address, public_key: publicKey })

function ipam({ subnet, ipv6, ipRange, auxAddresses, overlay }: Network): Plain | null {
  const range = overlay === undefined ? ipRange : null
  const four = compact({ ip_range: range, aux_addresses: auxAddresses })
  const six = compact({ subnet: ipv6?.subnet, gateway: ipv6?.gateway })
  const config = [
    ...(Object.keys(four).length === 0 ? [] : [compact({ subnet, ...four })]),
    ...(Object.keys(six).length === 0 ? [] : [six]),
  ]
  return config.length === 0 ? null : { config }
}

const driverOptions = ({ mtu, bridge, isolated, overlay, lan, driver }: Network): Plain | null =>
  unlessEmpty(
    compact({
      ...{ mtu, bridge, isolated, vni: overlay?.vni, port: overlay?.port },
      wireguard_port: overlay?.wireguardPort,
      parent: lan?.parent,
      ...(lan === undefined ? {} : { [`${driver}_mode`]: lan.mode, ipvlan_flag: lan.flag }),
    }),
  )

function service(declared: Service): Plain {
  const { replicas, containerName, endpointMode, affinity, drift, dependsOn, container } = declared
  const dependencies = dependsOn.map(({ service: other, ...rest }) => [other, rest] as const)
  return compact({
    ...process(container),
    container_name: containerName,
    replicas: replicas === 1 ? null : replicas,
    endpoint_mode: endpointMode,
    session_affinity: affinity === 'none' ? null : affinity,
    drift: drift ?? null,
    update_config: updateConfig(declared),
    policies: policies(declared),
    depends_on: unlessEmpty(Object.fromEntries(dependencies)),
    limits: limits(container.limits),
    ...storage(container),
    ...networking(container),
    ...life(container),
    ...confinement(container),
  })
}

function updateConfig({ update }: Service): Plain | null {
  if (update === undefined) return null
  const { order, parallelism, delayMs, monitorMs, onFailure, maxFailureRatio } = update
  return {
    order,
    parallelism,
    delay: `${delayMs}ms`,
    monitor: `${monitorMs}ms`,
    failure_action: onFailure,
    max_failure_ratio: maxFailureRatio,
  }
}

const bandwidth = ({ bandwidth: rates }: ContainerSpec): Plain | null => {
  const text = (bits: number | null | undefined) =>
    typeof bits === 'number' ? `${bits / 1_000}kbit` : null
  return unlessEmpty(
    compact({ ingress: text(rates?.ingressBits), egress: text(rates?.egressBits) }),
  )
}

const policies = ({ policies: { ingress, egress } = {} }: Service): Plain | null =>
  unlessEmpty(
    compact({
      ingress: ingress === undefined ? null : policySide(ingress, 'from'),
      egress: egress === undefined ? null : policySide(egress, 'to'),
    }),
  )

function policySide({ otherwise, allow, deny }: PolicySide, word: 'from' | 'to'): Plain {
  const rule = ({ peers, ports }: PolicyRule): Plain =>
    compact({
      [word]: unlessEmpty(
        peers.map(({ kind: _, ...peer }) =>
          compact({ ...peer, except: 'except' in peer ? unlessEmpty(peer.except) : null }),
        ),
      ),
      ports: unlessEmpty(
        ports.map(({ protocol, first, last }) =>
          first === last ? `${first}/${protocol}` : `${first}-${last}/${protocol}`,
        ),
      ),
    })
  return compact({
    default: otherwise,
    allow: unlessEmpty(allow.map(rule)),
    deny: unlessEmpty(deny.map(rule)),
  })
}

function process(container: ContainerSpec): Plain {
  const { source } = container
  return {
    image: source.kind === 'image' ? source.reference : null,
    rootfs: source.kind === 'rootfs' ? source.path : null,
    entrypoint: container.entrypoint,
    command: container.command,
    environment: unlessEmpty(container.environment),
    working_dir: container.workingDir,
    user: container.user,
    group_add: unlessEmpty(container.groupAdd),
    hostname: container.hostname,
    domainname: container.domainname,
    labels: unlessEmpty(container.labels),
  }
}

function storage(container: ContainerSpec): Plain {
  return {
    volumes: unlessEmpty(container.mounts.map(mount)),
    shm_size: container.ipcMode === null ? container.shmBytes : null,
    read_only: ifTrue(container.readOnly),
  }
}

function mount(value: Mount): Plain {
  const { kind, target, readOnly } = value
  const common = { type: kind, target, read_only: ifTrue(readOnly) }
  if (value.kind === 'bind') {
    const { source, createHostPath, propagation } = value
    return compact({ ...common, source, bind: { propagation, create_host_path: createHostPath } })
  }
  if (value.kind === 'volume')
    return compact({
      ...common,
      source: value.volume,
      volume: value.noCopy ? { nocopy: true } : null,
    })
  const mode = value.mode === null ? null : value.mode.toString(8)
  return compact({ ...common, tmpfs: unlessEmpty(compact({ size: value.sizeBytes, mode })) })
}

function networking(container: ContainerSpec): Plain {
  const { networkMode, networks, ports, expose, extraHosts, dns, dnsSearch, dnsOptions } = container
  return {
    network_mode: networkMode.kind === 'bridge' ? null : namespace(networkMode),
    networks: unlessEmpty(
      Object.fromEntries(networks.map((one) => [one.network, attachment(one)])),
    ),
    ports: unlessEmpty(
      ports.map(({ hostIp, published, target, protocol }) => ({
        target,
        published,
        host_ip: hostIp,
        protocol,
      })),
    ),
    expose: unlessEmpty(expose),
    extra_hosts: unlessEmpty(extraHosts),
    dns: unlessEmpty(dns),
    dns_search: unlessEmpty(dnsSearch),
    dns_opt: unlessEmpty(dnsOptions),
  }
}

function attachment(value: Attachment): Plain {
  return compact({
    aliases: unlessEmpty(value.aliases),
    ipv4_address: value.ipv4,
    ipv6_address: value.ipv6,
    mac_address: value.mac,
    interface_name: value.interfaceName,
    gw_priority: value.gwPriority,
  })
}

function namespace(
  mode: NamespaceMode | Exclude<ContainerSpec['networkMode'], { kind: 'bridge' }>,
): string {
  if (mode.kind === 'container') return `container:${mode.container}`
  return mode.kind === 'service' ? `service:${mode.service}` : mode.kind
}

function life(container: ContainerSpec): Plain {
  const { restart, healthcheck, stopSignal, stopGraceMs, init } = container
  const { name, maxRetries } = restart
  return {
    restart: maxRetries === null ? name : `${name}:${maxRetries}`,
    healthcheck: healthcheck === null ? null : check(healthcheck),
    post_start: unlessEmpty(container.postStart.map(hook)),
    pre_stop: unlessEmpty(container.preStop.map(hook)),
    logging: loggingManifest(container.logging),
    stop_signal: stopSignal,
    stop_grace_period: `${stopGraceMs}ms`,
    init: ifTrue(init),
  }
}

function hook({ command, user, workingDir, privileged, environment }: Hook): Plain {
  return compact({
    command,
    user,
    working_dir: workingDir,
    privileged: ifTrue(privileged),
    environment: unlessEmpty(environment),
  })
}

function check({
  test,
  intervalMs,
  timeoutMs,
  startPeriodMs,
  startIntervalMs,
  retries,
  onUnhealthy,
}: Healthcheck): Plain {
  return compact({
    ...probe(test),
    interval: `${intervalMs}ms`,
    timeout: `${timeoutMs}ms`,
    start_period: `${startPeriodMs}ms`,
    start_interval: `${startIntervalMs}ms`,
    retries,
    on_unhealthy: onUnhealthy === 'none' ? null : onUnhealthy,
  })
}

function probe(test: HealthTest): Plain {
  if (test.kind === 'tcp') return { tcp: test.port }
  if (test.kind === 'http') return { http: httpManifest(test) }
  return { test: [test.kind === 'exec' ? 'CMD' : 'CMD-SHELL', ...test.command] }
}

function confinement(container: ContainerSpec): Plain {
  const { pidMode, ipcMode } = container
  return {
    cap_add: unlessEmpty(container.capAdd),
    cap_drop: unlessEmpty(container.capDrop),
    privileged: ifTrue(container.privileged),
    security_opt: unlessEmpty(securityOptions(container.security)),
    sysctls: unlessEmpty(container.sysctls),
    ulimits: unlessEmpty(
      Object.fromEntries(container.ulimits.map(({ name, soft, hard }) => [name, { soft, hard }])),
    ),
    devices: unlessEmpty(container.devices.map((device) => ({ ...device }))),
    pid: pidMode === null ? null : namespace(pidMode),
    ipc: ipcMode === null ? null : namespace(ipcMode),
    uts: container.utsMode,
    bandwidth: bandwidth(container),
    oom_score_adj: container.oomScoreAdj === 0 ? null : container.oomScoreAdj,
  }
}

function securityOptions({
  noNewPrivileges,
  seccomp,
  apparmor,
  unmaskPaths,
}: SecurityOptions): readonly string[] {
  const options: string[] = []
  if (noNewPrivileges) options.push('no-new-privileges')
  if (seccomp === 'unconfined') options.push('seccomp=unconfined')
  else if (seccomp !== 'default') options.push(`seccomp=${seccomp.profile}`)
  if (apparmor !== null) options.push(`apparmor=${apparmor}`)
  if (unmaskPaths) options.push('systempaths=unconfined')
  return options
}
