import { isIPv4 } from 'node:net'
import type { ExecRequest } from '../executor/executor.ts'
import type { Attachment, DesiredState } from '../model/desired.ts'
import { parseIpv6 } from '../model/ipv6.ts'
import type { Plan } from '../model/plan.ts'
import { SHARED } from '../model/shared.ts'
import { RequestError } from './http.ts'
import type {
  Action,
  ActionRequest,
  DownRequest,
  LaunchEnd,
  LaunchRequest,
  PlanRequest,
  RollbackRequest,
  UpOptions,
  UpRequest,
} from './wire.ts'

/**
 * What comes over the socket, made sure of at the door. Only root can send it, and the manifest has
 * been checked by then: names by their grammar, the rest by its shape.
 */

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/
const PROJECT = /^[a-z0-9][a-z0-9_-]{0,127}$/
const ACTIONS: readonly Action[] = ['stop', 'start', 'restart', 'kill', 'pause', 'unpause', 'rm']
const DEFAULT_WAIT_MS = 300_000
const DEFAULT_SAMPLE_MS = 500
const MOST_SAMPLE_MS = 60_000

type Json = Readonly<Record<string, unknown>>

export function parsePlanRequest(project: string, body: unknown): PlanRequest {
  const { desired, options } = record(body, 'body')
  return { desired: parseDesired(project, desired), options: parseUpOptions(options) }
}

export function parseUpRequest(project: string, body: unknown): UpRequest {
  const given = record(body, 'body')
  const { expectedPlan, oneOff = null } = given
  return {
    ...parsePlanRequest(project, body),
    expectedPlan: parsePlan(expectedPlan ?? null),
    keepData: flag(given, 'keepData'),
    oneOff: oneOff === null ? null : parseName(oneOff, 'oneOff'),
  }
}

export function parseDownRequest(project: string, body: unknown): DownRequest {
  const { desired, options } = record(body ?? {}, 'body')
  const given = record(options ?? {}, 'options')
  return {
    desired: desired === null || desired === undefined ? null : parseDesired(project, desired),
    options: {
      removeVolumes: flag(given, 'removeVolumes'),
      removeOrphans: flag(given, 'removeOrphans'),
      graceMs: milliseconds(given, 'graceMs'),
      detached: flag(given, 'detached'),
    },
  }
}

export function parseActionRequest(body: unknown): ActionRequest {
  const { action, services, options } = record(body, 'body')
  const known = ACTIONS.find((candidate) => candidate === action)
  if (known === undefined) throw invalid('action')
  const given = record(options ?? {}, 'options')
  const signal = given['signal'] ?? null
  if (signal !== null && (typeof signal !== 'string' || !/^[A-Z0-9+-]{1,16}$/.test(signal)))
    throw invalid('options.signal')
  return {
    action: known,
    services: names(services ?? [], 'services'),
    options: {
      signal,
      graceMs: milliseconds(given, 'graceMs'),
      force: flag(given, 'force'),
      detached: flag(given, 'detached'),
    },
  }
}

export function parseRollbackRequest(body: unknown): RollbackRequest {
  const given = record(body ?? {}, 'body')
  return {
    services: names(given['services'] ?? [], 'services'),
    detached: flag(given, 'detached'),
  }
}

export function parseExecRequest(body: unknown): ExecRequest {
  const given = record(body, 'body')
  const command = texts(given['command'], 'command')
  if (command.length === 0) throw invalid('command')
  const environment = record(given['environment'] ?? {}, 'environment')
  return {
    project: parseProject(given['project']),
    container: parseName(given['container'], 'container'),
    command,
    environment: Object.fromEntries(
      Object.entries(environment).map(([key, value]) => [key, text(value, 'environment')]),
    ),
    user: textOrNull(given['user'], 'user'),
    workingDir: textOrNull(given['workingDir'], 'workingDir'),
    tty: flag(given, 'tty'),
  }
}

export function parseLaunchRequest(body: unknown): LaunchRequest {
  const given = record(body, 'body')
  const project = parseProject(given['project'])
  const container = parseName(given['container'], 'container')
  return { project, container, tty: flag(given, 'tty'), pid: integer(given['pid'], 'pid', 2) }
}

export function parseLaunchEnd(body: unknown): LaunchEnd {
  const given = record(body, 'body')
  const project = parseProject(given['project'])
  const container = parseName(given['container'], 'container')
  return { project, container, exitCode: integer(given['exitCode'], 'exitCode', 0) }
}

/** How a container's spec calls a network: its project's own, or `PROJECT/NETWORK`. */
export function parseNetwork(value: unknown): string {
  const [first, second, ...more] = text(value, 'network').split('/')
  if (second === undefined) return parseName(first, 'network')
  if (more.length > 0 || (first !== SHARED && !PROJECT.test(first ?? ''))) throw invalid('network')
  return `${first}/${parseName(second, 'network')}`
}

export function parseAttachment(value: unknown): Attachment {
  const given = record(value, 'attachment')
  const [ipv4, ipv6] = [textOrNull(given['ipv4'], 'ipv4'), textOrNull(given['ipv6'], 'ipv6')]
  if (ipv4 !== null && !isIPv4(ipv4)) throw invalid('ipv4')
  if (ipv6 !== null && parseIpv6(ipv6) === null) throw invalid('ipv6')
  return {
    network: parseNetwork(given['network']),
    aliases: names(given['aliases'] ?? [], 'aliases'),
    ipv4,
    ...(ipv6 === null ? {} : { ipv6 }),
  }
}

export function parseProject(value: unknown): string {
  if (typeof value === 'string' && PROJECT.test(value)) return value
  throw invalid('project')
}

export function parseName(value: unknown, what: string): string {
  if (typeof value === 'string' && NAME.test(value)) return value
  throw invalid(what)
}

/** Between two readings; at most a minute. */
export function parseSampleMs(value: string | null): number {
  if (value === null) return DEFAULT_SAMPLE_MS
  if (/^\d{1,5}$/.test(value) && Number(value) <= MOST_SAMPLE_MS) return Number(value)
  throw invalid('sampleMs')
}

function parseDesired(project: string, value: unknown): DesiredState {
  const desired = record(value, 'desired')
  if (desired['project'] !== project) throw invalid('desired.project')
  record(desired['limits'], 'desired.limits')
  for (const key of ['services', 'networks', 'volumes'] as const)
    for (const item of list(desired[key], `desired.${key}`))
      parseName(record(item, `desired.${key}`)['name'], `desired.${key}.name`)
  // Made by the manifest's normaliser of the same version, which has proved the rest.
  return value as DesiredState
}

function parsePlan(value: unknown): Plan | null {
  if (value === null) return null
  list(record(value, 'expectedPlan')['steps'], 'expectedPlan.steps')
  // Only ever compared with a plan made here.
  return value as Plan
}

function parseUpOptions(value: unknown): UpOptions {
  const given = record(value ?? {}, 'options')
  const services = given['services'] ?? null
  return {
    services: services === null ? null : names(services, 'options.services'),
    noDeps: flag(given, 'noDeps'),
    forceRecreate: flag(given, 'forceRecreate'),
    removeOrphans: flag(given, 'removeOrphans'),
    timeoutMs: milliseconds(given, 'timeoutMs'),
    origin: textOrNull(given['origin'], 'options.origin'),
    waitTimeoutMs: milliseconds(given, 'waitTimeoutMs') ?? DEFAULT_WAIT_MS,
    detached: flag(given, 'detached'),
  }
}

function record(value: unknown, what: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(what)
  return value as Json
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(what)
  return value as readonly unknown[]
}

const names = (value: unknown, what: string): readonly string[] =>
  list(value, what).map((name) => parseName(name, what))

const texts = (value: unknown, what: string): readonly string[] =>
  list(value, what).map((item) => text(item, what))

function text(value: unknown, what: string): string {
  if (typeof value !== 'string' || value.includes('\0')) throw invalid(what)
  return value
}

const textOrNull = (value: unknown, what: string): string | null =>
  value === null || value === undefined ? null : text(value, what)

function flag(given: Json, key: string): boolean {
  const value = given[key] ?? false
  if (typeof value !== 'boolean') throw invalid(key)
  return value
}

function milliseconds(given: Json, key: string): number | null {
  const value = given[key] ?? null
  if (value === null) return null
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw invalid(key)
  return value
}

function integer(value: unknown, what: string, least: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least)
    throw invalid(what)
  return value
}

const invalid = (what: string): RequestError =>
  new RequestError(400, `request \`${what}\`: invalid`)
