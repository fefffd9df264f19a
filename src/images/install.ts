import { join } from 'node:path'
import { PakError } from '../errors.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { ImageRecord } from '../model/image.ts'
import { blobDigest, meter } from './blobs.ts'
import { plainStages } from './compression.ts'
import { type ParsedConfig, parseConfig } from './config.ts'
import type { IndexEntry, StoreIndex } from './index-file.ts'
import { invalidImage } from './json.ts'
import { type LayerFacts, unpackLayer } from './layer.ts'
import type { Candidate, LayerBlob } from './manifest.ts'
import { formatReference, parseReference } from './reference.ts'
import type { SourceOptions } from './source.ts'
import type { StoreFolder } from './store-folder.ts'

export interface StoreParts {
  readonly kernel: Kernel
  readonly files: StoreFolder
  readonly index: StoreIndex
}

interface NewLayer {
  readonly diffId: string
  readonly folder: string
  readonly facts: LayerFacts
}

/** The most that one layer may be, unpacked. */
const LAYER_LIMIT_BYTES = 256 * 2 ** 30

/** Unpack and verify what the store lacks, then make it an image: all of it, or nothing. */
export async function installImage(
  parts: StoreParts,
  candidate: Candidate,
  options: SourceOptions,
): Promise<readonly ImageRecord[]> {
  const config = parseConfig(candidate.config)
  checkFit(config, candidate, options.architecture)
  const references = candidate.names.map((name) => formatReference(parsedName(name)))
  const layers: NewLayer[] = []
  let sizeBytes = 0
  for (const [index, diffId] of config.diffIds.entries()) {
    const blob = candidate.layers[index]
    if (blob === undefined)
      throw invalidImage('manifest', 'has fewer layers than its configuration')
    const known =
      layers.find((layer) => layer.diffId === diffId)?.facts ??
      (await parts.files.layerFacts(diffId))
    const facts = known ?? (await newLayer(parts.kernel, { blob, diffId, layers, options }))
    sizeBytes += facts.sizeBytes
  }
  await parts.files.commitLayers(layers)
  const digest = await parts.files.putImage(candidate.manifest, candidate.config)
  const entries = (references.length > 0 ? references : [digest]).map(
    (reference): IndexEntry => ({
      reference,
      digest,
      sizeBytes,
      createdAt: config.createdAt,
      indexes: candidate.indexes,
    }),
  )
  const taken = new Set(entries.map(({ reference }) => reference))
  const others = (await parts.index.read()).filter(({ reference }) => !taken.has(reference))
  await parts.files.flush()
  await parts.index.write([...others, ...entries])
  return entries.map(({ indexes, ...record }) => record)
}

function checkFit(
  { os, architecture, diffIds }: ParsedConfig,
  { layers }: Candidate,
  machine: string,
): void {
  if ((os ?? 'linux') !== 'linux' || (architecture ?? machine) !== machine)
    throw new PakError(
      'image_invalid',
      `image: it is for ${os ?? 'linux'}/${architecture ?? machine}, this machine is linux/${machine}`,
    )
  if (diffIds.length !== layers.length)
    throw invalidImage(
      'manifest',
      `has ${layers.length} layers, its configuration ${diffIds.length}`,
    )
}

/** A name in an image is data from elsewhere: what is none makes the image unusable, not the usage wrong. */
function parsedName(name: string) {
  try {
    return parseReference(name)
  } catch (cause) {
    throw invalidImage(name.slice(0, 300), 'is not a reference', cause)
  }
}

async function newLayer(
  kernel: Kernel,
  work: { blob: LayerBlob; diffId: string; layers: NewLayer[]; options: SourceOptions },
): Promise<LayerFacts> {
  const { blob, diffId, layers, options } = work
  const { scratch, signal } = options
  // Before anything is unpacked: nobody's bytes but those that the manifest means reach a parser.
  if (blob.digest !== null && (await blobDigest(blob.blob, signal)) !== blob.digest)
    throw invalidImage(blob.digest, 'has other content than its digest says')
  const folder = join(scratch, `layer-${layers.length}`)
  await kernel.makeFolder(folder, 0o755)
  const { stage, digest } = meter(LAYER_LIMIT_BYTES)
  const [source, ...rest] = await plainStages(kernel, blob.blob, options)
  const target = { folder, scratch, ...(signal === undefined ? {} : { signal }) }
  const facts = await unpackLayer(kernel, [source, ...rest, stage], target)
  if (digest() !== diffId) throw invalidImage(diffId, 'has other content than its digest says')
  layers.push({ diffId, folder, facts })
  return facts
}
