import type { Blobs } from './blobs.ts'
import { wholeBlob } from './blobs.ts'
import { fieldOf, invalidImage, listOf, parseJson, textOf } from './json.ts'
import {
  type Candidate,
  type Descriptor,
  DOCUMENT_LIMIT_BYTES,
  findBlob,
  isIndex,
  isManifest,
  parseDescriptor,
  parseManifest,
  readDocument,
} from './manifest.ts'

export interface LayoutOptions {
  /** In image-spec's words (GOARCH). */
  readonly architecture: string
  /** What a bare tag in the layout is a tag of; `null`: it names nothing. */
  readonly baseName: string | null
}

interface Walk extends LayoutOptions {
  readonly blobs: Blobs
  /** Digests of the indexes above, the outermost first. */
  readonly path: readonly string[]
  readonly names: readonly string[]
}

const DEPTH_LIMIT = 4
const MANIFESTS_LIMIT = 1000
const NAMES = ['io.containerd.image.name', 'org.opencontainers.image.ref.name']

/** All images of an OCI layout (image-spec, image-layout.md) that are for this machine. */
export async function layoutImages(
  blobs: Blobs,
  options: LayoutOptions,
): Promise<readonly Candidate[]> {
  const index = await blobs.find('index.json')
  if (index === null) throw invalidImage('index.json', 'is not in the archive')
  const bytes = await wholeBlob(index, DOCUMENT_LIMIT_BYTES, 'index.json')
  const found = await indexImages(bytes, { ...options, blobs, path: [], names: [] })
  if (found.length === 0)
    throw invalidImage('index.json', `has no image for linux/${options.architecture}`)
  return found
}

async function indexImages(bytes: Buffer, walk: Walk): Promise<readonly Candidate[]> {
  const list = listOf(fieldOf(parseJson(bytes, 'index'), 'manifests'))
  if (list.length > MANIFESTS_LIMIT)
    throw invalidImage('index', `has more than ${MANIFESTS_LIMIT} manifests`)
  const images: Candidate[] = []
  for (const descriptor of list.map(parseDescriptor)) {
    if (!isForMachine(descriptor, walk)) continue
    const names = walk.path.length === 0 ? namesOf(descriptor, walk) : walk.names
    const found = await descriptorImages(descriptor, { ...walk, names })
    images.push(...found)
    // A nested index is one image for many machines; the first that fits is it.
    if (walk.path.length > 0 && found.length > 0) break
  }
  return images
}

async function descriptorImages(descriptor: Descriptor, walk: Walk): Promise<readonly Candidate[]> {
  const { digest, mediaType } = descriptor
  if (isIndex(mediaType)) {
    if (walk.path.length >= DEPTH_LIMIT || walk.path.includes(digest))
      throw invalidImage(digest, 'is an index nested too deeply')
    const bytes = await readDocument(walk.blobs, descriptor)
    return indexImages(bytes, { ...walk, path: [...walk.path, digest] })
  }
  if (isManifest(mediaType)) return [await manifestImage(descriptor, walk)]
  // Next to images an index may list anything; alone it is a mistake that deserves its reason.
  if (walk.path.length > 0) return []
  throw invalidImage(mediaType || digest, 'is a kind of content that pak does not know')
}

async function manifestImage(descriptor: Descriptor, walk: Walk): Promise<Candidate> {
  const manifest = await readDocument(walk.blobs, descriptor)
  const parsed = parseManifest(manifest)
  const config = await readDocument(walk.blobs, parsed.config)
  const layers = await Promise.all(
    parsed.layers.map(async (layer) => {
      const blob = await findBlob(walk.blobs, layer)
      if (blob === null) throw invalidImage(layer.digest, 'is not in the archive')
      return { blob, digest: layer.digest }
    }),
  )
  return { manifest, config, layers, names: walk.names, indexes: walk.path }
}

function isForMachine(
  { annotations, os, architecture }: Descriptor,
  machine: LayoutOptions,
): boolean {
  if (textOf(fieldOf(annotations, 'vnd.docker.reference.type')) === 'attestation-manifest')
    return false
  if (os === null && architecture === null) return true
  return (
    (os ?? 'linux') === 'linux' && (architecture ?? machine.architecture) === machine.architecture
  )
}

function namesOf({ annotations }: Descriptor, { baseName }: LayoutOptions): readonly string[] {
  for (const key of NAMES) {
    const name = textOf(fieldOf(annotations, key))
    if (name === null || name === '') continue
    if (/[/:@]/.test(name)) return [name]
    return baseName === null ? [] : [`${baseName}:${name}`]
  }
  return []
}
