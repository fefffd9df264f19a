import { PakError } from '../../errors.ts'
import type { CniPlugin, JsonObject } from '../../model/cni.ts'
import type { CniCall, CniDoor } from './door.ts'
import { complaintOf, objectIn } from './failure.ts'
import {
  type CniAttachment,
  type CniCommand,
  type NamedCniNetwork,
  pluginEnvironment,
  pluginInput,
} from './request.ts'
import { parseResult } from './result.ts'

/** A network's plugins, and how programs are run. */
export interface CniChain {
  readonly network: NamedCniNetwork
  readonly door: CniDoor
}

/**
 * Run every plugin in its order, each on the result of the one before. `onResult` is told each of them: who
 * undoes this, whenever that will be, has to know how far it came. Throws `network` with the plugin's words.
 */
export async function addAttachment(
  chain: CniChain,
  attachment: CniAttachment,
  onResult: (result: JsonObject) => Promise<void>,
): Promise<void> {
  let before: JsonObject | null = null
  for (const plugin of chain.network.plugins) {
    const call = { command: 'ADD', plugin, attachment, result: before } as const
    const answer: JsonObject = resultIn(plugin, await callPlugin(chain, call))
    await onResult(answer)
    before = answer
  }
}

/**
 * Undo it in the reverse order, to the end, whatever one of them says; `result` is the last that was heard of.
 * What went wrong is told together. Something that is gone already is no error to a plugin.
 */
export async function deleteAttachment(
  chain: CniChain,
  attachment: CniAttachment,
  result: JsonObject | null,
): Promise<void> {
  const failures: PakError[] = []
  for (const plugin of [...chain.network.plugins].reverse()) {
    try {
      await callPlugin(chain, { command: 'DEL', plugin, attachment, result })
    } catch (error) {
      if (!(error instanceof PakError)) throw error
      failures.push(error)
    }
  }
  const [first] = failures
  if (first === undefined) return
  const words = failures.map(({ message }) => message).join('; ')
  throw new PakError(first.code, words, first.hint === null ? {} : { hint: first.hint })
}

/** What a plugin does not find as it made it. */
export interface CniComplaint {
  /** Its place in the chain. */
  readonly at: number
  readonly words: string
}

/** Ask plugins, but for those at these places, whether all is as they made it. */
export async function checkAttachment(
  chain: CniChain,
  attachment: CniAttachment,
  { result, except }: { readonly result: JsonObject; readonly except: readonly number[] },
): Promise<readonly CniComplaint[]> {
  const { network } = chain
  if (network.unchecked === true || !speaks(network.version, 'CHECK')) return []
  const complaints: CniComplaint[] = []
  for (const [at, plugin] of network.plugins.entries())
    try {
      if (!except.includes(at))
        await callPlugin(chain, { command: 'CHECK', plugin, attachment, result })
    } catch (error) {
      if (!(error instanceof PakError)) throw error
      complaints.push({ at, words: error.message })
    }
  return complaints
}

/** Let plugins clear away what is of no attachment that still is. All are asked, whatever one says. */
export async function collectGarbage(
  chain: CniChain,
  valid: readonly { readonly containerID: string; readonly ifname: string }[],
): Promise<readonly PakError[]> {
  const { network } = chain
  if (network.uncollected === true || !speaks(network.version, 'GC')) return []
  const failures: PakError[] = []
  for (const plugin of network.plugins)
    try {
      const about = { 'cni.dev/valid-attachments': valid.map((each) => ({ ...each })) }
      await callPlugin(chain, { command: 'GC', plugin, about })
    } catch (error) {
      if (!(error instanceof PakError)) throw error
      failures.push(error)
    }
  return failures
}

/** What each version of the protocol brought; versions of one length compare as texts. */
const speaks = (version: string, command: 'CHECK' | 'GC'): boolean =>
  version >= { CHECK: '0.4.0', GC: '1.1.0' }[command]

interface Call {
  readonly command: CniCommand
  readonly plugin: CniPlugin
  readonly attachment?: CniAttachment
  readonly result?: JsonObject | null
  readonly about?: JsonObject
}

async function callPlugin({ network, door }: CniChain, call: Call): Promise<string> {
  const { command, plugin, attachment, result = null, about = {} } = call
  const told = { ...about, ...(result === null ? {} : { prevResult: result }) }
  const asked: CniCall = {
    plugin: plugin.type,
    command,
    path: network.path,
    input: pluginInput(network, plugin, told, attachment?.capabilities ?? {}),
    environment: (path) => pluginEnvironment(command, path, attachment ?? null),
  }
  const answer = await door(asked)
  if (answer.exitCode === 0) return answer.stdout
  throw new PakError('network', `cni plugin \`${plugin.type}\`, ${command}: ${complaintOf(answer)}`)
}

/** Whoever answers in another way has not said what it did. */
function resultIn({ type }: CniPlugin, stdout: string): JsonObject {
  const refuse = (why: string) => new PakError('network', `cni plugin \`${type}\`, ADD: ${why}`)
  const result = objectIn(stdout)
  if (result === null) throw refuse('its answer is no JSON object')
  try {
    parseResult(result)
  } catch (error) {
    if (error instanceof SyntaxError) throw refuse(`its answer is no result: ${error.message}`)
    throw error
  }
  return result
}
