/**
 * What an image says about how to run it, parsed and bounded. It steers nothing on the host: every
 * value is a default that the manifest may override, and is checked where it is used.
 */
export interface ImageConfig {
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  /** Entries without `=` are dropped when it is parsed. */
  readonly environment: Readonly<Record<string, string>>
  readonly workingDir: string | null
  readonly user: string | null
  readonly stopSignal: string | null
  /** For example `80/tcp`. */
  readonly exposedPorts: readonly string[]
  /** Absolute paths that get an anonymous volume unless something is mounted there. */
  readonly volumes: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/** One entry of the local image store, as `pak image ls` prints it. */
export interface ImageRecord {
  readonly reference: string
  /** Digest of the image manifest. */
  readonly digest: string
  readonly sizeBytes: number
  readonly createdAt: string | null
}
