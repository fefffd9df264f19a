import type { Blob, Blobs } from './blobs.ts'
import { digestOf, wholeBlob } from './blobs.ts'
import { fieldOf, invalidImage, listOf, parseJson, textOf } from './json.ts'
import { isDigest } from './reference.ts'

/** image-spec, descriptor.md; parsed. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly sizeBytes: number
  readonly architecture: string | null
  readonly os: string | null
  readonly annotations: unknown
}

/** An image that a source offers, verified but for its layers. */
export interface Candidate {
  readonly manifest: Buffer
  readonly config: Buffer
  /** The bottom first. */
  readonly layers: readonly LayerBlob[]
  /** As the source names it; not parsed. */
  readonly names: readonly string[]
  /** Digests of the indexes that led here: a reference may mean the image by them. */
  readonly indexes: readonly string[]
}

export interface LayerBlob {
  readonly blob: Blob
  /** `null`: the source gives none, the unpacked layer's digest is all there is. */
  readonly digest: string | null
}

/** Manifests, indexes and configurations. */
export const DOCUMENT_LIMIT_BYTES = 4 * 1024 * 1024

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar'
const MANIFESTS = [OCI_MANIFEST, 'application/vnd.docker.distribution.manifest.v2+json']
const INDEXES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
]
const CONFIGS = [OCI_CONFIG, 'application/vnd.docker.container.image.v1+json']
const LAYERS =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?|docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?)$/

export const isManifest = (mediaType: string): boolean => MANIFESTS.includes(mediaType)
export const isIndex = (mediaType: string): boolean => INDEXES.includes(mediaType)

export function parseDescriptor(value: unknown): Descriptor {
  const digest = textOf(fieldOf(value, 'digest')) ?? ''
  const size = fieldOf(value, 'size')
  if (!isDigest(digest)) throw invalidImage(digest.slice(0, 100), 'is no sha256 digest')
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalidImage(digest, 'has no size')
  const platform = fieldOf(value, 'platform')
  return {
    mediaType: textOf(fieldOf(value, 'mediaType')) ?? '',
    digest,
    sizeBytes: size,
    architecture: textOf(fieldOf(platform, 'architecture')),
    os: textOf(fieldOf(platform, 'os')),
    annotations: fieldOf(value, 'annotations'),
  }
}

export const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`

/** A blob of the very size that its descriptor gives; `null` when the source has none. */
export async function findBlob(blobs: Blobs, descriptor: Descriptor): Promise<Blob | null> {
  const blob = await blobs.find(blobName(descriptor.digest))
  if (blob !== null && blob.sizeBytes !== descriptor.sizeBytes)
    throw invalidImage(
      descriptor.digest,
      `has ${blob.sizeBytes} bytes, not ${descriptor.sizeBytes}`,
    )
  return blob
}

/** A document, bounded and verified. */
export async function readDocument(blobs: Blobs, descriptor: Descriptor): Promise<Buffer> {
  const blob = await findBlob(blobs, descriptor)
  if (blob === null) throw invalidImage(descriptor.digest, 'is not in the archive')
  const bytes = await wholeBlob(blob, DOCUMENT_LIMIT_BYTES, descriptor.digest)
  if (digestOf(bytes) !== descriptor.digest)
    throw invalidImage(descriptor.digest, 'has other content than its digest says')
  return bytes
}

/** What a manifest names; with its kind of content checked. */
export function parseManifest(bytes: Buffer): {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
} {
  const document = parseJson(bytes, 'manifest')
  const config = parseDescriptor(fieldOf(document, 'config'))
  if (!CONFIGS.includes(config.mediaType))
    throw invalidImage(config.mediaType, 'is not the configuration of a container image')
  const layers = listOf(fieldOf(document, 'layers')).map(parseDescriptor)
  for (const { mediaType } of layers)
    if (!LAYERS.test(mediaType))
      throw invalidImage(mediaType, 'is a kind of layer that pak does not know')
  return { config, layers }
}
