/** See `Kernel.keepFile`. */
export interface KeptFile {
  /** Whether it says what it said when it was kept; nothing is made in memory for that. */
  saysStill(): boolean
  /** The last that is done with it. */
  close(): void
}

/**
 * The only door to host state. Everything pak reads from or does to the machine goes through one of
 * these; it is injected, so that a test can put a machine of its own behind it.
 */
export interface Kernel {
  /**
   * Run a program to its end. No shell, ever. Rejects with `tool_missing` when the program is not
   * installed (naming the package), with `timeout` or `cancelled` when it was ended; a non-zero exit
   * status resolves: the caller knows what it means.
   */
  run(file: string, args: readonly string[], options?: RunOptions): Promise<RunResult>

  /** UTF-8 text; `null` when there is no such file. Other errors reject. */
  readText(path: string): Promise<string | null>
  /**
   * The same without waiting, at most 1 MiB, for counters in cgroups and `/proc` that the kernel computes:
   * a thousand of them are a few milliseconds, where promises would cost a hundred. Never a file that a
   * container can make slow. `null` also for what the kernel does not count.
   */
  readNow(path: string): string | null
  /**
   * Such a file, there or not, to be asked later whether it still says the same. It stays open, which makes the
   * question a third as dear, and holds what it belongs to: an open file of `/proc` its process's namespace.
   */
  keepFile(path: string): KeptFile
  /** How a file of any length begins; `null` when there is none. */
  readHead(path: string, mostBytes: number): Promise<string | null>
  /** `list` without waiting, for the same folders; not sorted. */
  listNow(path: string): readonly string[]
  /**
   * Text of a plain file of at most `mostBytes` that is really below `folder`, whatever somebody swaps in
   * meanwhile: links, pipes and devices are never followed nor waited for. `null` for anything else.
   */
  readBelow(folder: string, path: string, mostBytes: number): Promise<string | null>
  /** Write in place (cgroup and proc files). */
  writeText(path: string, text: string): Promise<void>
  /** Write beside and rename over, mode 0600 unless given: never half a file. */
  replaceFile(path: string, text: string | Uint8Array, mode?: number): Promise<void>
  /** Names in a folder, sorted; empty when there is no such folder. */
  list(path: string): Promise<readonly string[]>
  exists(path: string): Promise<boolean>
  /** Follows symlinks; `null` when there is no such file. */
  stat(path: string): Promise<FileFacts | null>
  readLink(path: string): Promise<string | null>
  /** With every symlink resolved, as far as the path is there. */
  realPath(path: string): Promise<string>
  /** `mkdir -p`. */
  makeFolder(path: string, mode?: number): Promise<void>
  /** `rm -rf` that never crosses into another mount, one process for all; a thing already gone is success. */
  removeTree(...paths: readonly string[]): Promise<void>
  /** `rmdir`, for cgroups; false when it is busy or not empty, true when gone. */
  removeFolder(path: string): Promise<boolean>

  /**
   * Take away the name of a named pipe and wake whoever reads it with one zero byte, without waiting. False, and
   * nothing done, where there is no such pipe or nobody reads it.
   */
  releasePipe(path: string): boolean

  /** True when the signal was delivered; false when there is no such process. `pid` is never below 2. */
  kill(pid: number, signal: NodeJS.Signals | number): boolean
}

export interface RunOptions {
  readonly input?: string
  readonly signal?: AbortSignal
  /** Default 30 000. */
  readonly timeoutMs?: number
  /** So much of stdout, and of stderr, is kept. */
  readonly mostOutputBytes?: number
  readonly cwd?: string
  /** Default: PATH and LANG=C only. */
  readonly env?: Readonly<Record<string, string>>
  /**
   * Extra pipe: the child gets its number in this variable, and the first lines that are written there
   * are `piped` (conmon's _OCI_SYNCPIPE). The run ends with them and the child's exit; what the child
   * leaves behind may keep the pipe open.
   */
  readonly syncPipeVariable?: string
  /** How many lines to wait for there; default 1. */
  readonly syncPipeLines?: number
  /** Told of the program's pid before it can have done anything. */
  readonly onStart?: (pid: number) => void
}

export interface RunResult {
  readonly exitCode: number
  /** At most 16 MiB unless said otherwise; the rest is dropped, and taken slowly. */
  readonly stdout: string
  readonly stderr: string
  /** The lines that came through the extra pipe. */
  readonly piped: string
}

export interface FileFacts {
  readonly kind: 'file' | 'folder' | 'char' | 'block' | 'fifo' | 'socket'
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  /** Device numbers of a character or block device. */
  readonly major: number
  readonly minor: number
}
