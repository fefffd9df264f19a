import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Network } from '../model/desired.ts'
import type { Desk } from './desk.ts'
import { reconnectByHand } from './hand-connections.ts'
import { createByHand, removeByHand, unusedByHand } from './hand-networks.ts'
import { LineWriter, RequestError, readJson } from './http.ts'
import { parseAttachment, parseName, parseNetwork, parseProject } from './requests.ts'

interface Exchange {
  readonly desk: Desk
  readonly request: IncomingMessage
  readonly response: ServerResponse
}

export async function createNetwork({ desk, request }: Exchange): Promise<unknown> {
  const body = await readJson(request)
  const network = member(body, 'network')
  parseName(member(network, 'name'), 'network.name')
  // Made by the manifest's normaliser of the same version, which has proved the rest.
  await createByHand(desk, network as Network)
  return {}
}

export async function connectContainer({ desk, request }: Exchange): Promise<unknown> {
  const body = await readJson(request)
  const connect = parseAttachment(member(body, 'attachment'))
  await reconnectByHand(desk, { ...placeIn(body), wanted: { connect } })
  return {}
}

export async function disconnectContainer({ desk, request }: Exchange): Promise<unknown> {
  const body = await readJson(request)
  const disconnect = parseNetwork(member(body, 'network'))
  await reconnectByHand(desk, { ...placeIn(body), wanted: { disconnect } })
  return {}
}

const placeIn = (body: unknown) => ({
  project: parseProject(member(body, 'project')),
  container: parseName(member(body, 'container'), 'container'),
})

export const unusedNetworks = ({ desk }: Exchange): Promise<unknown> => unusedByHand(desk)

/** The last one may have been all that the agent looked after. */
export async function removeNetworks({ desk, request, response }: Exchange): Promise<undefined> {
  const names = member(await readJson(request), 'names')
  if (!Array.isArray(names)) throw new RequestError(400, 'request `names`: invalid')
  await removeByHand(
    desk,
    names.map((name) => parseName(name, 'names')),
  )
  const leaving = await desk.leaveIfLast()
  const lines = new LineWriter(response)
  lines.write({ leaving })
  await lines.end()
  if (leaving.length > 0) desk.exit()
}

function member(value: unknown, key: string): unknown {
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, key))
    return (value as Readonly<Record<string, unknown>>)[key]
  throw new RequestError(400, `request \`${key}\`: invalid`)
}
