import { readFileSync, statSync } from 'node:fs'
import type { Device, SecurityOptions, Ulimit } from '../model/desired.ts'
import {
  attempt,
  type Context,
  compare,
  complain,
  pairsOf,
  Refusal,
  sortedRecord,
  take,
} from './context.ts'
import { hostPath } from './mounts.ts'
import {
  parseAppArmorProfile,
  parseDevicePath,
  parseSysctlName,
  parseSysctlValue,
  ULIMITS,
} from './names.ts'
import { nearest } from './nearest.ts'
import { shown } from './problem.ts'
import { parseInteger } from './quantities.ts'
import { child, entriesOf, type Field, itemsOf, textOf } from './tree.ts'

/** Compose's `security_opt`; each option once. */
export function normalizeSecurity(context: Context, field: Field | null): SecurityOptions {
  let options: SecurityOptions = {
    noNewPrivileges: false,
    seccomp: 'default',
    apparmor: null,
    unmaskPaths: false,
  }
  const seen = new Set<string>()
  for (const item of itemsOf(field)) {
    const make = () => {
      const [, name = '', value] = /^([a-z-]+)(?:[:=](.*))?$/s.exec(textOf(item) ?? '') ?? []
      if (seen.has(name)) throw new Refusal(`\`${name}\` is there twice`)
      seen.add(name)
      return withOption(context, options, { name, value })
    }
    options = attempt(context, item, { make, fallback: options })
  }
  return options
}

function withOption(
  context: Context,
  options: SecurityOptions,
  { name, value }: { name: string; value: string | undefined },
): SecurityOptions {
  if (name === 'no-new-privileges' && /^(true|false)?$/.test(value ?? ''))
    return { ...options, noNewPrivileges: value !== 'false' }
  if (name === 'seccomp' && value !== undefined)
    return { ...options, seccomp: seccomp(context, value) }
  if (name === 'apparmor' && value !== undefined)
    return { ...options, apparmor: parseAppArmorProfile(value) }
  if (name === 'systempaths' && value === 'unconfined') return { ...options, unmaskPaths: true }
  if (name === 'label') throw new Refusal('SELinux labels are not supported yet')
  const known = 'no-new-privileges, seccomp=..., apparmor=..., systempaths=unconfined'
  throw new Refusal('unknown security option', `known are ${known}`)
}

const MOST_PROFILE_BYTES = 1024 * 1024

/** A profile's text is state, so it is read here; it may also stand in the option itself. */
function seccomp(context: Context, value: string): SecurityOptions['seccomp'] {
  if (value === 'unconfined') return value
  if (value === 'default' || value === 'builtin') return 'default'
  const profile = value.startsWith('{') ? value : readProfile(hostPath(context, value))
  try {
    const parsed: unknown = JSON.parse(profile)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return { profile: JSON.stringify(parsed) }
  } catch {
    // Falls through to the refusal: the parser's own words would only quote the profile.
  }
  throw new Refusal('the seccomp profile is not a JSON object')
}

function readProfile(path: string): string {
  const facts = statSync(path, { throwIfNoEntry: false })
  if (facts === undefined) throw new Refusal(`there is no file \`${shown(path)}\``)
  if (!facts.isFile() || facts.size > MOST_PROFILE_BYTES)
    throw new Refusal(`\`${shown(path)}\` is no file of at most 1 MiB`)
  try {
    return readFileSync(path, 'utf8')
  } catch {
    throw new Refusal(`\`${shown(path)}\` cannot be read`)
  }
}

/** Only sysctls of the container's own namespaces, list or map. */
export function normalizeSysctls(
  context: Context,
  field: Field | null,
): Readonly<Record<string, string>> {
  const sysctls = new Map<string, string>()
  for (const pair of pairsOf(field)) {
    const make = () => {
      const name = parseSysctlName(pair.name)
      if (pair.value === null) throw new Refusal(`sysctl \`${name}\` has no value`)
      if (sysctls.has(name)) throw new Refusal(`sysctl \`${name}\` is there twice`)
      sysctls.set(name, parseSysctlValue(pair.value))
    }
    attempt<void>(context, pair.field, { make, fallback: undefined })
  }
  return sortedRecord(sysctls)
}

/** A number for both limits or a map; sorted by name. */
export function normalizeUlimits(context: Context, field: Field | null): readonly Ulimit[] {
  const ulimits = entriesOf(field).flatMap(([written, value]): readonly Ulimit[] => {
    const name = written.toLowerCase()
    if (!ULIMITS.includes(name)) {
      const { message, hint } = new Refusal(
        `unknown limit \`${shown(written)}\``,
        nearest(name, ULIMITS),
      )
      context.problems.report({ span: value.key, path: value.path, message, hint })
      return []
    }
    const both = take<number | null>(context, value, { parse: parseLimit, fallback: null })
    const soft = both ?? take(context, child(value, 'soft'), { parse: parseLimit, fallback: -1 })
    const hard = both ?? take(context, child(value, 'hard'), { parse: parseLimit, fallback: -1 })
    if (hard !== -1 && (soft === -1 || soft > hard))
      complain(
        context,
        value,
        new Refusal(`the soft limit ${soft} is above the hard limit ${hard}`),
      )
    return [{ name, soft, hard }]
  })
  return ulimits.sort((a, b) => compare(a.name, b.name))
}

const parseLimit = parseInteger({ what: 'limit', least: -1, most: Number.MAX_SAFE_INTEGER })

/** `SOURCE[:TARGET[:PERMISSIONS]]` or a map; sorted by target. */
export function normalizeDevices(context: Context, field: Field | null): readonly Device[] {
  const devices = new Map<string, Device>()
  for (const item of itemsOf(field)) {
    const make = () => {
      const device = parseDevice(item)
      if (devices.has(device.target))
        throw new Refusal(`device \`${device.target}\` is there twice`)
      devices.set(device.target, device)
    }
    attempt<void>(context, item, { make, fallback: undefined })
  }
  return [...devices.values()].sort((a, b) => compare(a.target, b.target))
}

function parseDevice(item: Field): Device {
  const [source = '', target = source, permissions = 'rwm', ...more] =
    item.node.kind === 'map'
      ? ['source', 'target', 'permissions'].map((name) => textOf(child(item, name)) ?? undefined)
      : deviceParts(textOf(item) ?? '')
  if (more.length > 0 || !/^[rwm]{1,3}$/.test(permissions))
    throw new Refusal('expected `SOURCE:TARGET:PERMISSIONS` with permissions of r, w and m')
  return {
    source: parseDevicePath(source),
    target: parseDevicePath(target),
    permissions: ['r', 'w', 'm'].filter((letter) => permissions.includes(letter)).join(''),
  }
}

/** `/dev/fuse:rw` has permissions and no target. */
function deviceParts(text: string): readonly (string | undefined)[] {
  const [source, second, third, ...more] = text.split(':')
  if (third === undefined && /^[rwm]{1,3}$/.test(second ?? '')) return [source, undefined, second]
  return [source, second, third, ...more]
}
