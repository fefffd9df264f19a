import type { CniNetwork, CniPlugin, Json, JsonObject } from '../model/cni.ts'
import { compare, Refusal, sortedSet } from './context.ts'
import { shown } from './problem.ts'

/** Newest first. Older ones say addresses in another way, and their plugins are from before 2017. */
const VERSIONS = ['1.1.0', '1.0.0', '0.4.0', '0.3.1', '0.3.0']
const MOST_PLUGINS = 32
const MOST_DEPTH = 32
/** What whoever runs plugins says of a container. */
const RESERVED = /^(runtimeConfig|prevResult|cni\.dev\/.*)$/

/**
 * A network configuration of CNI (its specification, section 1), or one plugin's alone. What pak does not
 * know of it is the plugins'. Throws `Refusal`.
 */
export function parseCniConfig(plain: unknown): Omit<CniNetwork, 'path'> {
  const whole = objectOf(jsonOf(plain, 0), 'a network configuration')
  const { cniVersion, cniVersions, name, plugins, disableCheck, disableGC, ...rest } = whole
  const alone = plugins === undefined && rest['type'] !== undefined
  if (!alone) refuseUnknown(rest)
  const listed = alone ? [rest] : plugins
  if (!Array.isArray(listed) || listed.length === 0 || listed.length > MOST_PLUGINS)
    throw new Refusal(`expected \`plugins\`, a list of 1 to ${MOST_PLUGINS}, got ${shown(plugins)}`)
  return {
    version: versionOf(cniVersion, cniVersions),
    name: name === undefined ? null : parseCniName(name),
    plugins: listed.map((plugin: Json, at) => pluginOf(plugin, at)),
    ...(flagOf(disableCheck, 'disableCheck') ? { unchecked: true } : {}),
    ...(flagOf(disableGC, 'disableGC') ? { uncollected: true } : {}),
  }
}

/** The inverse, as far as pak speaks for it. */
export function cniConfigOf({ version, name, plugins, ...rest }: CniNetwork): JsonObject {
  return {
    cniVersion: version,
    ...(name === null ? {} : { name }),
    ...(rest.unchecked ? { disableCheck: true } : {}),
    ...(rest.uncollected ? { disableGC: true } : {}),
    plugins: plugins.map(({ type, capabilities, config }) => ({
      type,
      ...config,
      ...(capabilities.length === 0
        ? {}
        : { capabilities: Object.fromEntries(capabilities.map((each) => [each, true])) }),
    })),
  }
}

/** It becomes part of paths. */
export function parseCniName(name: Json | undefined): string {
  if (typeof name === 'string' && /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(name)) return name
  throw new Refusal(
    `expected a \`name\` of letters, digits, \`_\`, \`.\`, \`-\`, got ${shown(name)}`,
  )
}

function refuseUnknown(rest: JsonObject): void {
  for (const key of Object.keys(rest))
    if (key !== 'loadOnlyInlinedPlugins' && !key.startsWith('_'))
      throw new Refusal(
        `a network configuration has no ${shown(key)}`,
        'plugins have their own keys',
      )
}

function versionOf(one: Json | undefined, several: Json | undefined): string {
  const said = [...(Array.isArray(several) ? several : []), ...(one === undefined ? [] : [one])]
  if (said.length === 0) throw new Refusal('it has no `cniVersion`', `say \`${VERSIONS[1]}\``)
  const known = VERSIONS.find((version) => said.includes(version))
  if (known !== undefined) return known
  throw new Refusal(
    `expected \`cniVersion\` ${VERSIONS.join(', ')}, got ${said.map(shown).join(', ')}`,
  )
}

function pluginOf(plain: Json, at: number): CniPlugin {
  const { type, capabilities, ...config } = objectOf(plain, `plugins[${at}]`)
  const reserved = Object.keys(config).find((key) => RESERVED.test(key))
  if (reserved !== undefined)
    throw new Refusal(`plugins[${at}] has ${shown(reserved)}, which only a runtime says`)
  const { ipam } = config
  const delegate = ipam === undefined ? undefined : objectOf(ipam, `plugins[${at}].ipam`)['type']
  if (delegate !== undefined && delegate !== '') programOf(delegate, `plugins[${at}].ipam.type`)
  return {
    type: programOf(type, `plugins[${at}].type`),
    capabilities: capabilitiesOf(capabilities, at),
    config,
  }
}

/** A file in one of the folders of plugins, and nowhere else. */
function programOf(type: Json | undefined, at: string): string {
  const isName = typeof type === 'string' && /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(type)
  if (isName && !type.includes('..')) return type
  throw new Refusal(`${at}: expected the name of a plugin's program, got ${shown(type)}`)
}

function capabilitiesOf(plain: Json | undefined, at: number): readonly string[] {
  if (plain === undefined) return []
  const declared = objectOf(plain, `plugins[${at}].capabilities`)
  return sortedSet(Object.keys(declared).filter((key) => declared[key] === true))
}

function flagOf(plain: Json | undefined, key: string): boolean {
  if (plain === undefined || typeof plain === 'boolean') return plain ?? false
  if (plain === 'true' || plain === 'false') return plain === 'true'
  throw new Refusal(`${key}: expected true or false, got ${shown(plain)}`)
}

function objectOf(plain: Json | undefined, what: string): JsonObject {
  if (typeof plain === 'object' && plain !== null && !isList(plain)) return plain
  throw new Refusal(`expected ${what}, a map, got ${shown(plain)}`)
}

const isList = (plain: Json): plain is readonly Json[] => Array.isArray(plain)

/** In one form, whatever the order of its keys. */
function jsonOf(plain: unknown, depth: number): Json {
  if (depth > MOST_DEPTH) throw new Refusal(`nested deeper than ${MOST_DEPTH} levels`)
  if (plain === null || typeof plain === 'string' || typeof plain === 'boolean') return plain
  if (typeof plain === 'number') {
    if (Number.isFinite(plain)) return plain
    throw new Refusal(`${plain} is no number of JSON`)
  }
  if (Array.isArray(plain)) return plain.map((item) => jsonOf(item, depth + 1))
  if (typeof plain !== 'object') throw new Refusal('expected JSON')
  const sorted = Object.entries(plain).sort(([a], [b]) => compare(a, b))
  return Object.fromEntries(sorted.map(([key, value]) => [key, jsonOf(value, depth + 1)]))
}
