import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type ImageStore, imageStore } from '../../src/images/store.ts'
import { hostKernel } from '../../src/kernel/host.ts'

/** One entry of a tar; `raw` overwrites bytes of the header before its checksum is made. */
export interface Item {
  readonly name: string
  readonly type?: string
  readonly content?: string | Buffer
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly device?: readonly [number, number]
  readonly pax?: Readonly<Record<string, string | Buffer>>
  readonly size?: string
}

/** A tar, byte by byte: archives that no honest tool writes. */
export function tarOf(items: readonly Item[], end = true): Buffer {
  const blocks = items.flatMap((item) => [...paxOf(item), ...entryOf(item)])
  return Buffer.concat([...blocks, Buffer.alloc(end ? 1024 : 0)])
}

function paxOf({ pax }: Item): Buffer[] {
  if (pax === undefined) return []
  const records = Object.entries(pax).map(([key, value]) => {
    const body = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
    let length = body.length
    while (String(length).length + body.length !== length)
      length = String(length).length + body.length
    return Buffer.concat([Buffer.from(String(length)), body])
  })
  return entryOf({ name: 'pax', type: 'x', content: Buffer.concat(records) })
}

function entryOf(item: Item): Buffer[] {
  const content = Buffer.from(item.content ?? '')
  const block = Buffer.alloc(512)
  block.write(item.name, 0, 100, 'latin1')
  block.write((item.mode ?? 0o644).toString(8).padStart(7, '0'), 100)
  block.write((item.uid ?? 0).toString(8).padStart(7, '0'), 108)
  block.write('0000000', 116)
  block.write(item.size ?? content.length.toString(8).padStart(11, '0'), 124, 'latin1')
  block.write('15000000000', 136)
  block.write(item.type ?? '0', 156)
  block.write(item.link ?? '', 157, 100, 'latin1')
  block.write('ustar\0' + '00', 257)
  block.write((item.device?.[0] ?? 0).toString(8).padStart(7, '0'), 329)
  block.write((item.device?.[1] ?? 0).toString(8).padStart(7, '0'), 337)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return [block, content, Buffer.alloc((512 - (content.length % 512)) % 512)]
}

export const sha = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export interface ImageParts {
  readonly layers: readonly Buffer[]
  readonly config?: unknown
  readonly architecture?: string
  readonly reference?: string
  readonly mediaType?: string
  readonly packed?: (layer: Buffer) => Buffer
}

export const ARCHITECTURE = 'amd64'

/** Files of an OCI layout, by name. */
export function layoutOf(parts: ImageParts): Map<string, Buffer> {
  const files = new Map<string, Buffer>([
    ['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
  ])
  const manifest = addImage(files, parts)
  const annotations =
    parts.reference === undefined ? {} : { 'org.opencontainers.image.ref.name': parts.reference }
  const descriptor = { ...manifest, annotations }
  files.set(
    'index.json',
    Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [descriptor] })),
  )
  return files
}

export function addImage(files: Map<string, Buffer>, parts: ImageParts) {
  const add = (mediaType: string, bytes: Buffer) => {
    files.set(`blobs/${sha(bytes).replace(':', '/')}`, bytes)
    return { mediaType, digest: sha(bytes), size: bytes.length }
  }
  const packed = parts.packed ?? ((layer: Buffer) => gzipSync(layer))
  const layerType = parts.mediaType ?? 'application/vnd.oci.image.layer.v1.tar+gzip'
  const config = {
    architecture: parts.architecture ?? ARCHITECTURE,
    os: 'linux',
    config: parts.config ?? {},
    rootfs: { type: 'layers', diff_ids: parts.layers.map(sha) },
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: add('application/vnd.oci.image.config.v1+json', Buffer.from(JSON.stringify(config))),
    layers: parts.layers.map((layer) => add(layerType, packed(layer))),
  }
  return add(manifest.mediaType, Buffer.from(JSON.stringify(manifest)))
}

/** What `docker save` writes. */
export function dockerArchiveOf({ layers, config, reference }: ImageParts): Map<string, Buffer> {
  const document = Buffer.from(
    JSON.stringify({
      architecture: ARCHITECTURE,
      os: 'linux',
      config: config ?? {},
      rootfs: { type: 'layers', diff_ids: layers.map(sha) },
    }),
  )
  const files = new Map(layers.map((layer, index) => [`${index}/layer.tar`, layer]))
  files.set('config.json', document)
  const entry = {
    Config: 'config.json',
    RepoTags: reference ? [reference] : null,
    Layers: [...files.keys()].filter((name) => name.endsWith('layer.tar')),
  }
  files.set('manifest.json', Buffer.from(JSON.stringify([entry])))
  return files
}

export const tarOfFiles = (files: ReadonlyMap<string, Buffer>): Buffer =>
  tarOf(
    [...files].map(([name, content]) =>
      name.length > 99 ? { name: 'long', content, pax: { path: name } } : { name, content },
    ),
  )

export interface TestStore extends AsyncDisposable {
  readonly folder: string
  readonly store: ImageStore
  reopen(): ImageStore
}

export async function testStore(): Promise<TestStore> {
  const folder = await mkdtemp('/tmp/pakt-images-')
  const open = () => imageStore(join(folder, 'images'), hostKernel, { architecture: ARCHITECTURE })
  return {
    folder,
    store: open(),
    reopen: open,
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true, force: true })
    },
  }
}
