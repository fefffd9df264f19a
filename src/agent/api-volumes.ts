import type { IncomingMessage } from 'node:http'
import type { Volume } from '../model/desired.ts'
import { SHARED } from '../model/shared.ts'
import type { Desk } from './desk.ts'
import { RequestError, readJson } from './http.ts'
import { parseName, parseProject } from './requests.ts'

interface Exchange {
  readonly desk: Desk
  readonly request: IncomingMessage
  readonly words: readonly string[]
}

export async function createVolume({ desk, request }: Exchange): Promise<unknown> {
  const volume = volumeIn(await readJson(request))
  await desk.loop.exclusive(SHARED, () => desk.shop.parts.volumes.create(volume))
  return {}
}

export async function removeVolume({ desk, words }: Exchange): Promise<unknown> {
  const owner = words[0] === SHARED ? SHARED : parseProject(words[0])
  const name = parseName(words[1], 'volume')
  await desk.loop.exclusive(owner, () => desk.shop.parts.volumes.remove({ owner, name }))
  return {}
}

function volumeIn(body: unknown): Volume {
  const { volume } = (body ?? {}) as { readonly volume?: Volume }
  if (typeof volume !== 'object' || volume === null || typeof volume.labels !== 'object')
    throw new RequestError(400, 'request `volume`: invalid')
  // Made by the manifest's normaliser of the same version, which has proved the rest.
  return { name: parseName(volume.name, 'volume.name'), labels: volume.labels }
}
