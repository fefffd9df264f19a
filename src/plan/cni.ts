import type { CniNetwork, Json } from '../model/cni.ts'
import type { FieldChange } from '../model/plan.ts'
import { value } from './compare.ts'

/** What of a network's configuration differs: key by key where the same plugins stand in the same places. */
export function cniChanges(
  path: string,
  from: CniNetwork | null,
  to: CniNetwork | null,
): readonly FieldChange[] {
  if (from === null || to === null) return value(path, typesOf)(from, to)
  const chain = value(`${path}.plugins`)(typesOf(from), typesOf(to))
  return [
    ...value(`${path}.cniVersion`)(from.version, to.version),
    ...value(`${path}.name`)(from.name, to.name),
    ...value(`${path}.disableCheck`)(from.unchecked ?? false, to.unchecked ?? false),
    ...value(`${path}.disableGC`)(from.uncollected ?? false, to.uncollected ?? false),
    ...(chain.length > 0 ? chain : pluginChanges(path, from, to)),
  ]
}

const typesOf = (network: CniNetwork | null): readonly string[] | null =>
  network === null ? null : network.plugins.map(({ type }) => type)

function pluginChanges(path: string, from: CniNetwork, to: CniNetwork): readonly FieldChange[] {
  return from.plugins.flatMap((before, index) => {
    const after = to.plugins[index]
    if (after === undefined) return []
    const at = `${path}.plugins[${index}]`
    const keys = [...new Set([...Object.keys(before.config), ...Object.keys(after.config)])].sort()
    return [
      ...value(`${at}.capabilities`)(before.capabilities, after.capabilities),
      ...keys.flatMap((key) =>
        value<Json>(`${at}.${key}`)(own(before.config, key), own(after.config, key)),
      ),
    ]
  })
}

const own = (config: { readonly [key: string]: Json }, key: string): Json =>
  Object.hasOwn(config, key) ? (config[key] ?? null) : null
