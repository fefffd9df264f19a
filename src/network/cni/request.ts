import type { CniNetwork, CniPlugin, JsonObject } from '../../model/cni.ts'

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'VERSION'

/** One interface of one container on a network (CNI's specification, section 3). */
export interface CniAttachment {
  /** Unique for each container that ever is. */
  readonly container: string
  /** For plugins that call containers by name. */
  readonly label: { readonly project: string; readonly name: string }
  /** A path that plugins can open; empty where the namespace is gone. */
  readonly netns: string
  readonly ifname: string
  /** What there is to say, by capability; each plugin gets what it declares. */
  readonly capabilities: JsonObject
}

/** A network with the name that plugins call it by. */
export type NamedCniNetwork = CniNetwork & { readonly name: string }

/** What a plugin reads on its standard input. */
export function pluginInput(
  { version, name }: NamedCniNetwork,
  { type, capabilities: declared, config }: CniPlugin,
  about: JsonObject,
  capabilities: JsonObject = {},
): string {
  const told = Object.entries(capabilities).filter(([capability]) => declared.includes(capability))
  const runtimeConfig = told.length === 0 ? {} : { runtimeConfig: Object.fromEntries(told) }
  return JSON.stringify({ ...config, ...runtimeConfig, ...about, type, cniVersion: version, name })
}

/** A plugin's whole environment but for where programs are. */
export function pluginEnvironment(
  command: CniCommand,
  path: readonly string[],
  attachment: CniAttachment | null,
): Readonly<Record<string, string>> {
  const always = { CNI_COMMAND: command, CNI_PATH: path.join(':') }
  if (attachment === null) return always
  const { container, label, netns, ifname } = attachment
  return {
    ...always,
    CNI_CONTAINERID: container,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    // What all other runtimes say; without the first, plugins refuse what they do not know.
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${label.project};K8S_POD_NAME=${label.name}`,
  }
}
