import type {
  Attachment,
  Bandwidth,
  ContainerSpec,
  Device,
  Healthcheck,
  HealthTest,
  Hook,
  Mount,
  NamespaceMode,
  NetworkMode,
  PublishedPort,
  RestartPolicy,
  RootSource,
  SecurityOptions,
  Ulimit,
} from '../model/desired.ts'
import type { IoLimit, Limits } from '../model/limits.ts'
import { addressText, FILE_LOGGING, type Logging } from '../model/logging.ts'
import { type Compare, entries, fields, keyed, unordered, value } from './compare.ts'
import { bytesText, cpuText, durationText } from './quantity.ts'

const bandwidthText = (bandwidth: Bandwidth | undefined): string | null =>
  bandwidth === undefined
    ? null
    : `ingress ${bandwidth.ingressBits ?? 'any'}, egress ${bandwidth.egressBits ?? 'any'} bit/s`

/** `live`: changed in place; `recreate`: only a new container has it; `ignore`: it changes nothing. */
export type FieldClass = 'live' | 'recreate' | 'ignore'

interface Field<T> {
  readonly on: FieldClass
  readonly compare: Compare<T>
}

export const compareLimits: Compare<Limits | null> = fields<Limits>('limits', [
  { name: 'cpu', show: (limits) => cpuText(limits.cpuMillis) },
  { name: 'cpu_burst', show: (limits) => cpuText(limits.cpuBurstMillis) },
  { name: 'cpu_weight', show: (limits) => limits.cpuWeight },
  { name: 'cpuset', show: (limits) => limits.cpuset },
  { name: 'memory', show: (limits) => bytesText(limits.memoryBytes) },
  { name: 'memory_high', show: (limits) => bytesText(limits.memoryHighBytes) },
  { name: 'memory_reservation', show: (limits) => bytesText(limits.memoryReservationBytes) },
  { name: 'swap', show: (limits) => bytesText(limits.swapBytes) },
  { name: 'swappiness', show: (limits) => limits.swappiness },
  { name: 'pids', show: (limits) => limits.pids },
  { name: 'io', show: (limits) => limits.io.map(ioText) },
  { name: 'io_weight', show: (limits) => limits.ioWeight },
  { name: 'hugepages', show: (limits) => limits.hugepages },
  { name: 'oom', show: (limits) => limits.oom },
])

/** Not mapped over `keyof` itself: a field that may be absent has its row, too. */
type SpecKey = keyof ContainerSpec

/**
 * The one table of what each field is and how it is compared. A false difference restarts somebody's
 * database: where the order of a list means nothing, it is compared as a set.
 */
export const FIELDS: { readonly [K in SpecKey]: Field<ContainerSpec[K]> } = {
  source: { on: 'recreate', compare: value('image', sourceText) },
  entrypoint: { on: 'recreate', compare: value('entrypoint') },
  command: { on: 'recreate', compare: value('command') },
  environment: { on: 'recreate', compare: entries('environment') },
  workingDir: { on: 'recreate', compare: value('working_dir') },
  user: { on: 'recreate', compare: value('user') },
  groupAdd: { on: 'recreate', compare: unordered('group_add') },
  hostname: { on: 'recreate', compare: value('hostname') },
  domainname: { on: 'recreate', compare: value('domainname') },
  labels: { on: 'live', compare: entries('labels') },
  limits: { on: 'live', compare: compareLimits },
  mounts: {
    on: 'recreate',
    compare: keyed<Mount>(
      (key) => `volumes[${key}]`,
      (mount) => mount.target,
      mountText,
    ),
  },
  shmBytes: { on: 'recreate', compare: value('shm_size', bytesText) },
  networkMode: { on: 'recreate', compare: value('network_mode', modeText) },
  networks: {
    on: 'recreate',
    compare: keyed<Attachment>(
      (key) => `networks.${key}`,
      (attachment) => attachment.network,
      ({ network: _, aliases, ipv4, ipv6, mac, interfaceName, gwPriority }) => ({
        aliases,
        ipv4_address: ipv4,
        ...(ipv6 === undefined ? {} : { ipv6_address: ipv6 }),
        ...(mac === undefined ? {} : { mac_address: mac }),
        ...(interfaceName === undefined ? {} : { interface_name: interfaceName }),
        ...(gwPriority === undefined ? {} : { gw_priority: gwPriority }),
      }),
    ),
  },
  ports: { on: 'live', compare: keyed<PublishedPort>((key) => `ports[${key}]`, portKey, portText) },
  // It documents; nothing on the host comes from it.
  expose: { on: 'ignore', compare: unordered('expose') },
  restart: { on: 'live', compare: value('restart', restartText) },
  // The monitor is told when it starts.
  logging: {
    on: 'recreate',
    // Whoever was made before there was this field is not made anew for it.
    compare: (from, to) => value('logging', loggingText)(from ?? FILE_LOGGING, to),
  },
  healthcheck: {
    on: 'live',
    compare: fields<Healthcheck>('healthcheck', [
      { name: 'test', show: (check) => testText(check.test) },
      { name: 'interval', show: (check) => durationText(check.intervalMs) },
      { name: 'timeout', show: (check) => durationText(check.timeoutMs) },
      { name: 'start_period', show: (check) => durationText(check.startPeriodMs) },
      { name: 'start_interval', show: (check) => durationText(check.startIntervalMs) },
      { name: 'retries', show: (check) => check.retries },
      // Whoever was made before there was this field has none.
      { name: 'on_unhealthy', show: (check) => check.onUnhealthy ?? 'none' },
    ]),
  },
  // They are run when it next starts or stops.
  postStart: { on: 'live', compare: compareHooks('post_start') },
  preStop: { on: 'live', compare: compareHooks('pre_stop') },
  stopSignal: { on: 'live', compare: value('stop_signal') },
  stopGraceMs: { on: 'live', compare: value('stop_grace_period', durationText) },
  init: { on: 'recreate', compare: value('init') },
  readOnly: { on: 'recreate', compare: value('read_only') },
  capAdd: { on: 'recreate', compare: unordered('cap_add') },
  capDrop: { on: 'recreate', compare: unordered('cap_drop') },
  privileged: { on: 'recreate', compare: value('privileged') },
  security: {
    on: 'recreate',
    compare: value<SecurityOptions>('security_opt'),
  },
  sysctls: { on: 'recreate', compare: entries('sysctls') },
  ulimits: {
    on: 'recreate',
    compare: keyed<Ulimit>(
      (key) => `ulimits.${key}`,
      (limit) => limit.name,
      ({ soft, hard }) => ({ soft, hard }),
    ),
  },
  extraHosts: { on: 'recreate', compare: entries('extra_hosts') },
  dns: { on: 'recreate', compare: value('dns') },
  dnsSearch: { on: 'recreate', compare: value('dns_search') },
  dnsOptions: { on: 'recreate', compare: value('dns_opt') },
  devices: {
    on: 'recreate',
    compare: keyed<Device>(
      (key) => `devices[${key}]`,
      (device) => device.target,
      (device) => `${device.source}:${device.target}:${device.permissions}`,
    ),
  },
  pidMode: { on: 'recreate', compare: value('pid', modeText) },
  ipcMode: { on: 'recreate', compare: value('ipc', modeText) },
  utsMode: { on: 'recreate', compare: value('uts') },
  oomScoreAdj: { on: 'recreate', compare: value('oom_score_adj') },
  bandwidth: { on: 'recreate', compare: value('bandwidth', bandwidthText) },
}

/** `/var read_bps=10M`. */
function ioText({ path, readBps, writeBps, readIops, writeIops }: IoLimit): string {
  const rates = [
    ['read_bps', bytesText(readBps)],
    ['write_bps', bytesText(writeBps)],
    ['read_iops', readIops],
    ['write_iops', writeIops],
  ] as const
  const said = rates.flatMap(([name, rate]) => (rate === null ? [] : [`${name}=${rate}`]))
  return [path, ...said].join(' ')
}

export function sourceText(source: RootSource): string {
  return source.kind === 'image' ? source.reference : source.path
}

function mountText(mount: Mount): unknown {
  const mode = mount.readOnly ? ':ro' : ''
  if (mount.kind === 'tmpfs') {
    return { tmpfs: mount.target, size: bytesText(mount.sizeBytes), mode: mount.mode }
  }
  if (mount.kind === 'volume') {
    return `${mount.volume ?? ''}:${mount.target}${mode}${mount.noCopy ? ':nocopy' : ''}`
  }
  const created = mount.createHostPath ? ':create' : ''
  return `${mount.source}:${mount.target}${mode}:${mount.propagation}${created}`
}

function modeText(mode: NetworkMode | NamespaceMode | null): string | null {
  if (mode === null) return null
  if (mode.kind === 'container') return `container:${mode.container}`
  return mode.kind === 'service' ? `service:${mode.service}` : mode.kind
}

function portKey({ hostIp, published, protocol }: PublishedPort): string {
  return `${hostIp === '0.0.0.0' ? '' : `${hostIp}:`}${published}${protocol === 'tcp' ? '' : `/${protocol}`}`
}

function portText(port: PublishedPort): string {
  return `${portKey(port)}:${port.target}`
}

function testText(test: HealthTest): unknown {
  if (test.kind === 'tcp') return `tcp :${test.port}`
  if (test.kind !== 'http') return test
  const { kind: _, method, tls, port, path, ...rest } = test
  return { request: `${method} ${tls ? 'https' : 'http'}://:${port}${path}`, ...rest }
}

/** Whoever was made before there were hooks has none. */
function compareHooks(path: string): Compare<readonly Hook[]> {
  return (from, to) => value(path)(from ?? [], to ?? [])
}

function loggingText(logging: Logging): string {
  if (logging.driver === 'none') return 'none'
  const kept = `${bytesText(logging.maxBytes)} x ${logging.maxFiles}`
  if (logging.driver === 'file') return kept
  const { driver, tag } = logging
  if (driver === 'journald') return [driver, tag, ...logging.labels, kept].join(', ')
  const { address, facility, format } = logging
  return [driver, addressText(address), facility, format, tag, kept].join(', ')
}

function restartText({ name, maxRetries }: RestartPolicy): string {
  return maxRetries === null ? name : `${name}:${maxRetries}`
}
