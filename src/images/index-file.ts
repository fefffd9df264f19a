import type { Kernel } from '../kernel/kernel.ts'
import type { ImageRecord } from '../model/image.ts'
import { invalidImage } from './json.ts'

export interface IndexEntry extends ImageRecord {
  /** Digests of the indexes through which the image came. */
  readonly indexes: readonly string[]
}

/** `index.json` of the store: what is in it is whole. Replaced at once or not at all. */
export class StoreIndex {
  readonly #path: string
  readonly #kernel: Kernel

  constructor(path: string, kernel: Kernel) {
    this.#path = path
    this.#kernel = kernel
  }

  /** Sorted by reference. */
  async read(): Promise<readonly IndexEntry[]> {
    const text = await this.#kernel.readText(this.#path)
    if (text === null) return []
    try {
      // pak's own file, 0600 in a folder 0700.
      return (JSON.parse(text) as { images: IndexEntry[] }).images
    } catch (cause) {
      throw invalidImage(this.#path, 'the list of images is damaged', cause)
    }
  }

  async write(entries: readonly IndexEntry[]): Promise<void> {
    const images = [...entries].sort((one, other) => (one.reference < other.reference ? -1 : 1))
    await this.#kernel.replaceFile(
      this.#path,
      `${JSON.stringify({ version: 1, images }, null, 2)}\n`,
    )
  }
}
