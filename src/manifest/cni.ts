import { isAbsolute, resolve } from 'node:path'
import type { CniNetwork } from '../model/cni.ts'
import type { Network } from '../model/desired.ts'
import { parseCniConfig, parseCniName } from './cni-config.ts'
import { CNI_FOLDER, findCniNetwork, readCniFile } from './cni-files.ts'
import { attempt, type Context, complain, Refusal } from './context.ts'
import { shown } from './problem.ts'
import { child, type Field, textOf, toPlain } from './tree.ts'

/** What plugins decide, or only pak's own networks can be. */
const NOT_FOR_PLUGINS = [
  ...['subnet', 'gateway', 'ipam', 'enable_ipv6', 'internal', 'attachable', 'driver_opts'],
  ...['peers', 'encrypted'],
]

/** What a network is because plugins make it; nothing for one that pak makes. */
export function cniOf(context: Context, field: Field): Pick<Partial<Network>, 'driver' | 'cni'> {
  const at = child(field, 'cni')
  if (textOf(child(field, 'driver')) !== 'cni') {
    const hint = 'it goes with `driver: cni`'
    if (at !== null) complain(context, at, new Refusal('only plugins have a `cni`', hint))
    return {}
  }
  for (const key of NOT_FOR_PLUGINS) {
    const part = child(field, key)
    const hint = "the plugins' own configuration says what there is to say"
    const reason = `\`${key}\` does not go with \`driver: cni\``
    if (part !== null) complain(context, part, new Refusal(reason, hint))
  }
  if (at === null) {
    const hint = `say \`cni:\` and the name of a network of ${CNI_FOLDER}, a file, or the configuration itself`
    complain(
      context,
      child(field, 'driver') ?? field,
      new Refusal('a `cni` network needs `cni`', hint),
    )
    return {}
  }
  const make = (): CniNetwork => ({ ...configOf(context, at), path: pathOf(context) })
  const cni = attempt<CniNetwork | null>(context, at, { make, fallback: null })
  return cni === null ? {} : { driver: 'cni', cni }
}

/** In place, in a file beside this one, or by the name that an administrator has given it. */
function configOf(context: Context, field: Field): Omit<CniNetwork, 'path'> {
  const text = textOf(field)
  if (text === null) return parseCniConfig(toPlain(field.node))
  if (text.includes('/')) return readCniFile(resolve(context.folder, text))
  return findCniNetwork(context.lookup('NETCONFPATH') ?? CNI_FOLDER, parseCniName(text))
}

/** As CNI's own tools read it. */
function pathOf({ lookup }: Context): readonly string[] {
  const folders = (lookup('CNI_PATH') ?? '').split(':').filter((folder) => folder !== '')
  const odd = folders.find((folder) => !isAbsolute(folder) || /\p{Cc}/u.test(folder))
  if (odd === undefined) return folders
  throw new Refusal(`CNI_PATH has ${shown(odd)}, which is no absolute folder`)
}
