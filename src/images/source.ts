import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import type { Kernel } from '../kernel/kernel.ts'
import { type Blob, fileBlob, folderBlobs, spool, tarBlobs } from './blobs.ts'
import { plainFile } from './compression.ts'
import { dockerArchiveImages } from './docker-archive.ts'
import { invalidImage } from './json.ts'
import { layoutImages } from './layout.ts'
import type { Candidate } from './manifest.ts'
import { parseReference } from './reference.ts'

export interface SourceOptions {
  readonly scratch: string
  readonly architecture: string
  readonly signal?: AbortSignal
}

/** The images of a folder, a file or a stream, whatever form they have. */
export async function openSource(
  kernel: Kernel,
  source: string | Readable,
  options: SourceOptions,
): Promise<readonly Candidate[]> {
  const isFolder = typeof source === 'string' && (await kernel.stat(source))?.kind === 'folder'
  const blobs = isFolder
    ? folderBlobs(source)
    : await tarBlobs((await plainSource(kernel, source, options)).path, options.signal)
  const baseName = typeof source === 'string' ? baseNameOf(source) : null
  if ((await blobs.find('index.json')) !== null)
    return layoutImages(blobs, { architecture: options.architecture, baseName })
  const archive = await blobs.find('manifest.json')
  if (archive !== null) return dockerArchiveImages(blobs, archive)
  throw invalidImage(
    typeof source === 'string' ? source : 'archive',
    'is neither an OCI layout (index.json) nor a docker-archive (manifest.json)',
  )
}

/** A file with the plain bytes of a file or a stream. */
export async function plainSource(
  kernel: Kernel,
  source: string | Readable,
  options: SourceOptions,
): Promise<Blob> {
  const blob =
    source instanceof Readable
      ? await spool(source, join(options.scratch, 'source'), options.signal)
      : await fileBlob(source)
  return plainFile(kernel, blob, options)
}

/** `busybox` for `/x/busybox.tar.gz`: what a bare tag in a layout is a tag of. */
function baseNameOf(path: string): string | null {
  const name = basename(path).replace(/\.(?:oci|tar|tgz|gz|zst|zstd)/g, '')
  try {
    return parseReference(name).digest === null && !name.includes(':') ? name : null
  } catch {
    return null
  }
}
