import type { Blob, Blobs } from './blobs.ts'
import { digestOf, wholeBlob } from './blobs.ts'
import { parseConfig } from './config.ts'
import { fieldOf, invalidImage, listOf, parseJson, textOf } from './json.ts'
import {
  type Candidate,
  DOCUMENT_LIMIT_BYTES,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from './manifest.ts'

const IMAGES_LIMIT = 1000

/** All images of what `docker save` writes. It has no manifests of its own: one is made of what is there. */
export async function dockerArchiveImages(
  blobs: Blobs,
  index: Blob,
): Promise<readonly Candidate[]> {
  const bytes = await wholeBlob(index, DOCUMENT_LIMIT_BYTES, 'manifest.json')
  const list = listOf(parseJson(bytes, 'manifest.json'))
  if (list.length === 0 || list.length > IMAGES_LIMIT)
    throw invalidImage('manifest.json', 'has no images, or too many')
  const images: Candidate[] = []
  for (const entry of list) images.push(await image(blobs, entry))
  return images
}

async function image(blobs: Blobs, entry: unknown): Promise<Candidate> {
  const config = await wholeBlob(
    await named(blobs, fieldOf(entry, 'Config')),
    DOCUMENT_LIMIT_BYTES,
    'config',
  )
  const layers: Blob[] = []
  for (const name of listOf(fieldOf(entry, 'Layers'))) layers.push(await named(blobs, name))
  const names = listOf(fieldOf(entry, 'RepoTags')).filter((name) => typeof name === 'string')
  return {
    manifest: ociManifest(config),
    config,
    layers: layers.map((blob) => ({ blob, digest: null })),
    names,
    indexes: [],
  }
}

async function named(blobs: Blobs, name: unknown): Promise<Blob> {
  const text = textOf(name) ?? ''
  const blob = text === '' ? null : await blobs.find(text)
  if (blob === null) throw invalidImage(text, 'is not in the archive')
  return blob
}

/** The manifest of an image whose layers are known unpacked only. The same image gives the same bytes. */
export function ociManifest(config: Buffer): Buffer {
  const { diffIds } = parseConfig(config)
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: digestOf(config), size: config.length },
      layers: diffIds.map((digest) => ({ mediaType: OCI_LAYER, digest, size: 0 })),
    }),
  )
}
