/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

/** A network that plugins make (CNI's specification, section 1), in the words of its configuration. */
export interface CniNetwork {
  /** Of the protocol: the newest that both its configuration and pak speak. */
  readonly version: string
  /** What plugins call it; `null`: pak gives it a name that nobody else has. */
  readonly name: string | null
  /** Run in this order, undone in the other; one at least. */
  readonly plugins: readonly CniPlugin[]
  /** `disableCheck` */
  readonly unchecked?: true
  /** `disableGC` */
  readonly uncollected?: true
  /** Absolute folders in which programs are looked for before the usual ones: `CNI_PATH`. */
  readonly path: readonly string[]
}

export interface CniPlugin {
  /** The name of its program. */
  readonly type: string
  /** What it wants to be told of each container. Sorted. */
  readonly capabilities: readonly string[]
  /** Everything else that the configuration says, handed on as it is. */
  readonly config: JsonObject
}

/** What pak can tell plugins of a container (CNI's CONVENTIONS.md). */
export type CniCapability = 'aliases' | 'bandwidth' | 'ips' | 'mac' | 'portMappings'

/** Whether a plugin of the network wants to be told that. */
export const declares = ({ plugins }: CniNetwork, capability: CniCapability): boolean =>
  plugins.some(({ capabilities }) => capabilities.includes(capability))
