import type { Readable } from 'node:stream'
import type { Kernel } from '../kernel/kernel.ts'
import { blobDigest } from './blobs.ts'
import { ociManifest } from './docker-archive.ts'
import type { Candidate } from './manifest.ts'
import { plainSource, type SourceOptions } from './source.ts'

/** What the image shall say about how to run it. */
export interface ImportChanges {
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly workingDir?: string
  readonly user?: string
}

export interface ImportRequest extends SourceOptions {
  readonly reference: string
  readonly changes: ImportChanges
  readonly createdAt: string | null
}

/** A root file system's tar as an image of one layer. */
export async function importCandidate(
  kernel: Kernel,
  source: string | Readable,
  request: ImportRequest,
): Promise<Candidate> {
  const blob = await plainSource(kernel, source, request)
  const diffId = await blobDigest(blob, request.signal)
  const config = Buffer.from(JSON.stringify(configOf(diffId, request)))
  return {
    manifest: ociManifest(config),
    config,
    layers: [{ blob, digest: null }],
    names: [request.reference],
    indexes: [],
  }
}

function configOf(diffId: string, { changes, createdAt, architecture }: ImportRequest) {
  const { entrypoint, command, environment, workingDir, user } = changes
  return {
    ...(createdAt === null ? {} : { created: createdAt }),
    architecture,
    os: 'linux',
    config: {
      ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
      ...(command === undefined ? {} : { Cmd: command }),
      ...(environment === undefined
        ? {}
        : { Env: Object.entries(environment).map(([name, value]) => `${name}=${value}`) }),
      ...(workingDir === undefined ? {} : { WorkingDir: workingDir }),
      ...(user === undefined ? {} : { User: user }),
    },
    rootfs: { type: 'layers', diff_ids: [diffId] },
  }
}
