import type { ContainerSpec, RootSource } from '../model/desired.ts'
import { normalizeBandwidth } from './bandwidth.ts'
import { normalizeCommand } from './command.ts'
import {
  type Context,
  complain,
  Refusal,
  sortedSet,
  take,
  takeBoolean,
  takeEach,
} from './context.ts'
import { type EnvFiles, normalizeEnvironment, normalizeLabels } from './environment.ts'
import { normalizeHealthcheck, normalizeRestart } from './healthcheck.ts'
import { normalizeHooks } from './hooks.ts'
import { normalizeServiceLimits } from './limits.ts'
import { normalizeLogging } from './logging.ts'
import { hostPath, normalizeMounts } from './mounts.ts'
import * as names from './names.ts'
import * as networks from './networks.ts'
import { normalizePorts, parseExpose } from './ports.ts'
import { parseDuration, parseInteger, parseSize } from './quantities.ts'
import * as security from './security.ts'
import { child, type Field, spanOf, textOf } from './tree.ts'

const DEFAULT_SHM_BYTES = 64 * 1024 * 1024
const DEFAULT_GRACE_MS = 10_000

/** Everything about one service that decides how its containers are made. */
export function normalizeContainer(
  context: Context,
  service: Field,
  files: EnvFiles,
): ContainerSpec {
  const source = normalizeSource(context, service)
  const reader = readerOf(context, service)
  return {
    source,
    environment: normalizeEnvironment(context, service, files),
    labels: normalizeLabels(context, reader.at('labels')),
    limits: normalizeServiceLimits(context, service),
    mounts: normalizeMounts(context, service),
    readOnly: normalizeReadOnly(context, reader.at('read_only'), source),
    ...normalizeProcess(context, reader),
    ...normalizeNetworking(context, reader),
    ...normalizeConfinement(context, reader),
  }
}

interface Reader {
  readonly at: (name: string) => Field | null
  readonly one: (name: string, parse: (text: string) => string) => string | null
  readonly each: (name: string, parse: (text: string) => string) => readonly string[]
}

function readerOf(context: Context, service: Field): Reader {
  const at = (name: string) => child(service, name)
  return {
    at,
    one: (name, parse) => take<string | null>(context, at(name), { parse, fallback: null }),
    each: (name, parse) => takeEach(context, at(name), parse),
  }
}

function normalizeProcess(context: Context, { at, one, each }: Reader) {
  const grace = { parse: parseDuration, fallback: DEFAULT_GRACE_MS }
  return {
    entrypoint: normalizeCommand(context, at('entrypoint')),
    command: normalizeCommand(context, at('command')),
    workingDir: one('working_dir', names.parseTarget),
    user: one('user', names.parseUser),
    groupAdd: sortedSet(each('group_add', names.parseGroup)),
    restart: normalizeRestart(context, at('restart')),
    healthcheck: normalizeHealthcheck(context, at('healthcheck')),
    postStart: normalizeHooks(context, at('post_start')),
    preStop: normalizeHooks(context, at('pre_stop')),
    logging: normalizeLogging(context, at('logging')),
    stopSignal: one('stop_signal', names.parseSignal),
    stopGraceMs: take(context, at('stop_grace_period'), grace),
    init: takeBoolean(at('init'), false),
  }
}

function normalizeNetworking(context: Context, { at, one, each }: Reader) {
  const networkMode = networks.normalizeNetworkMode(context, at('network_mode'))
  return {
    hostname: one('hostname', names.parseHostname),
    domainname: one('domainname', names.parseDomain),
    networkMode,
    networks:
      networkMode.kind === 'bridge' ? networks.normalizeAttachments(context, at('networks')) : [],
    ports: normalizePorts(context, at('ports')),
    expose: sortedPorts(takeEach(context, at('expose'), parseExpose).flat()),
    extraHosts: networks.normalizeExtraHosts(context, at('extra_hosts')),
    dns: each('dns', names.parseAddress),
    dnsSearch: each('dns_search', names.parseDomain),
    dnsOptions: each('dns_opt', names.parseResolverOption),
  }
}

function normalizeConfinement(context: Context, { at, each }: Reader) {
  return {
    shmBytes: take(context, at('shm_size'), { parse: parseSize, fallback: DEFAULT_SHM_BYTES }),
    capAdd: sortedSet(each('cap_add', names.parseCapability)),
    capDrop: sortedSet(each('cap_drop', names.parseCapability)),
    privileged: takeBoolean(at('privileged'), false),
    security: security.normalizeSecurity(context, at('security_opt')),
    sysctls: security.normalizeSysctls(context, at('sysctls')),
    ulimits: security.normalizeUlimits(context, at('ulimits')),
    devices: security.normalizeDevices(context, at('devices')),
    pidMode: networks.normalizeNamespace(context, at('pid'), []),
    ipcMode: networks.normalizeNamespace(context, at('ipc'), ['private', 'shareable']),
    utsMode: at('uts') === null ? null : ('host' as const),
    oomScoreAdj: take(context, at('oom_score_adj'), { parse: parseOomScore, fallback: 0 }),
    ...normalizeBandwidth(context, at('bandwidth')),
  }
}

const parseOomScore = parseInteger({ what: 'OOM score', least: -1000, most: 1000 })

function normalizeSource(context: Context, service: Field): RootSource {
  const image = child(service, 'image')
  const rootfs = child(service, 'rootfs')
  const nothing: RootSource = { kind: 'image', reference: '' }
  if (image !== null && rootfs !== null) {
    complain(context, rootfs, new Refusal('a container has either `image` or `rootfs`, not both'))
    return nothing
  }
  if (rootfs !== null) {
    const parse = (text: string): RootSource => ({ kind: 'rootfs', path: hostPath(context, text) })
    return take(context, rootfs, { parse, fallback: nothing })
  }
  if (image === null) {
    if (service.node.kind === 'map' && !service.node.entries.has('image'))
      context.problems.report({
        span: service.key,
        path: service.path,
        message: 'a container needs an `image` or a `rootfs`',
      })
    return nothing
  }
  const parse = (text: string): RootSource => ({
    kind: 'image',
    reference: names.parseReference(text),
  })
  return take(context, image, { parse, fallback: nothing })
}

function normalizeReadOnly(context: Context, field: Field | null, source: RootSource): boolean {
  if (source.kind !== 'rootfs' || source.path !== '/') return takeBoolean(field, false)
  if (field !== null && textOf(field) === 'false')
    context.problems.report({
      span: spanOf(field),
      path: field.path,
      message:
        "a container on `rootfs: /` is always read-only: it runs on this machine's own files",
      hint: 'mount a volume or a tmpfs where it writes',
    })
  return true
}

function sortedPorts(ports: readonly string[]): readonly string[] {
  return [...new Set(ports)].sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1),
  )
}
