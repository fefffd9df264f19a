import { randomBytes } from 'node:crypto'
import { readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs'
import * as fs from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { PakError } from '../errors.ts'
import type { FileFacts, Kernel, RunOptions, RunResult } from './kernel.ts'
import { packageOf } from './packages.ts'
import { releasePipe } from './pipe.ts'
import { keepFile, listNow, readHead, readNow } from './small-files.ts'
import { spawnProgram } from './spawn.ts'

const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024
const DEFAULT_TIMEOUT_MS = 30_000
/** How long the output of a program that has ended is waited for: what it left behind may hold it open for good. */
const OUTPUT_LIMIT_MS = 1_000
/** What host tools get to see: nothing of the user's environment. */
const TOOL_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C',
  LC_ALL: 'C',
}

/** This machine. */
export const hostKernel: Kernel = {
  run,
  readText: (path) => orNull(fs.readFile(path, 'utf8')),
  readNow,
  keepFile,
  readHead,
  listNow,
  readBelow,
  writeText: (path, text) => fs.writeFile(path, text),
  replaceFile,
  list: async (path) => ((await orNull(fs.readdir(path))) ?? []).sort(),
  exists: async (path) => (await orNull(fs.lstat(path))) !== null,
  stat: fileFacts,
  readLink: (path) => orNull(fs.readlink(path)),
  realPath,
  makeFolder: async (path, mode) => {
    await fs.mkdir(path, { recursive: true, ...(mode === undefined ? {} : { mode }) })
  },
  removeTree,
  removeFolder,
  releasePipe,
  kill,
}

async function run(
  file: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  options.signal?.throwIfAborted()
  const pipeVariable = options.syncPipeVariable
  const child = spawnProgram(file, [...args], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: {
      ...(options.env ?? TOOL_ENVIRONMENT),
      ...(pipeVariable === undefined ? {} : { [pipeVariable]: '3' }),
    },
    stdio: [
      options.input === undefined ? 'ignore' : 'pipe',
      'pipe',
      'pipe',
      ...(pipeVariable === undefined ? [] : (['pipe'] as const)),
    ],
  })
  if (child.pid !== undefined) options.onStart?.(child.pid)
  const end = () => {
    child.kill('SIGKILL')
    // Of a program that has ended, what it left behind may hold the pipe open, and hang.
    child.stdio[3]?.destroy()
  }
  const stop = boundedLife(file, end, options)
  const [, stdout, stderr] = child.stdio
    .slice(0, 3)
    .map((stream) => collect(stream, options.mostOutputBytes ?? OUTPUT_LIMIT_BYTES))
  const piped = lines(child.stdio[3], options.syncPipeLines ?? 1)
  // A tool that exits before it has read everything is reported by its exit status, not by EPIPE.
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input)
  let drained: NodeJS.Timeout | undefined
  child.once('exit', () => {
    const drop = () => {
      for (const stream of [child.stdout, child.stderr]) stream?.destroy()
    }
    if (stop.ended()) drop()
    else drained = setTimeout(drop, OUTPUT_LIMIT_MS)
  })
  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject)
      const settle = (code: number | null, signal: NodeJS.Signals | null) =>
        resolve(code ?? (signal === null ? 1 : 128))
      // A daemon that the tool leaves behind (conmon) may keep stdout open: its exit is what counts then.
      child.once(pipeVariable === undefined ? 'close' : 'exit', settle)
    })
    const result = {
      exitCode,
      stdout: pipeVariable === undefined ? ((await stdout) ?? '') : '',
      stderr: pipeVariable === undefined ? ((await stderr) ?? '') : '',
      piped: await piped,
    }
    stop.check()
    return result
  } catch (error) {
    throw isMissing(error) ? toolMissing(file) : error
  } finally {
    stop[Symbol.dispose]()
    clearTimeout(drained)
    for (const stream of child.stdio) stream?.destroy()
  }
}

/** Ends the program when its time is up or its caller gives up; `check` throws the reason afterwards. */
function boundedLife(
  file: string,
  endProgram: () => void,
  { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: RunOptions,
): Disposable & { ended(): boolean; check(): void } {
  let ended: PakError | null = null
  const end = (error: PakError) => {
    ended ??= error
    endProgram()
  }
  const cancel = () => end(new PakError('cancelled', `run \`${file}\`: interrupted`))
  const timer = setTimeout(
    () => end(new PakError('timeout', `run \`${file}\`: no end after ${timeoutMs} ms`)),
    timeoutMs,
  )
  signal?.addEventListener('abort', cancel, { once: true })
  return {
    ended: () => ended !== null,
    check() {
      if (ended !== null) throw ended
    },
    [Symbol.dispose]() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cancel)
    },
  }
}

async function collect(stream: unknown, mostBytes: number): Promise<string | null> {
  if (stream === null || typeof stream !== 'object' || !(Symbol.asyncIterator in stream))
    return null
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      // Whoever prints without end waits for this, not this for him.
      if (size < mostBytes) chunks.push(chunk)
      else await sleep(1)
      size += chunk.length
    }
  } catch (error) {
    if (!isPrematureClose(error)) throw error
  }
  return Buffer.concat(chunks).subarray(0, mostBytes).toString('utf8')
}

/** A daemon that the tool leaves behind keeps the pipe open: one line is all that each says there. */
async function lines(stream: unknown, count: number): Promise<string> {
  if (!(stream instanceof Readable)) return ''
  let text = ''
  try {
    for await (const chunk of stream.setEncoding('utf8')) {
      text += chunk
      if (text.split('\n').length > count || text.length > OUTPUT_LIMIT_BYTES) break
    }
  } catch (error) {
    // Given up: what was said until then is all there is.
    if (!hasCode(error, 'ERR_STREAM_PREMATURE_CLOSE')) throw error
  }
  return text
}

function toolMissing(file: string): PakError {
  const name = packageOf(file)
  return new PakError('tool_missing', `run \`${file}\`: not installed`, {
    hint:
      name === null
        ? 'pak doctor shows what is missing'
        : `install the package ${name}, or run pak doctor --install`,
  })
}

async function readBelow(folder: string, path: string, mostBytes: number): Promise<string | null> {
  const flags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK
  let file: fs.FileHandle
  try {
    file = await fs.open(path, flags)
  } catch (error) {
    // ELOOP: a link; ENXIO: a socket, or a device without a driver.
    const refused = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EACCES']
    if (refused.some((code) => hasCode(error, code))) return null
    throw error
  }
  try {
    const found = await file.stat()
    const real = await fs.readlink(`/proc/self/fd/${file.fd}`)
    const inside = real.startsWith(`${await realPath(folder)}/`)
    if (!inside || !found.isFile() || found.size > mostBytes) return null
    if (found.size === 0) return ''
    const { buffer, bytesRead } = await file.read(Buffer.alloc(found.size), 0, found.size, 0)
    return buffer.toString('utf8', 0, bytesRead)
  } finally {
    await file.close()
  }
}

async function replaceFile(path: string, text: string | Uint8Array, mode = 0o600): Promise<void> {
  const draft = `${path}.${randomBytes(4).toString('hex')}.tmp`
  try {
    // To make a file takes ext4 long, see `RecordStore`: several at once are worth their promises.
    await fs.writeFile(draft, text, { mode, flag: 'wx' })
    renameSync(draft, path)
  } catch (error) {
    await fs.rm(draft, { force: true })
    throw isMissing(error)
      ? new PakError('storage', `write \`${path}\`: folder ${dirname(path)} is gone`, {
          cause: error,
        })
      : error
  }
}

async function fileFacts(path: string): Promise<FileFacts | null> {
  const found = await orNull(fs.stat(path))
  if (found === null) return null
  return {
    kind: kindOf(found),
    mode: found.mode & 0o7777,
    uid: found.uid,
    gid: found.gid,
    sizeBytes: found.size,
    // makedev(3) on Linux: 12 + 20 bits of major, 8 + 12 + 12 bits of minor.
    major: (found.rdev >>> 8) & 0xfff,
    minor: (found.rdev & 0xff) | ((found.rdev >>> 12) & 0xfff00),
  }
}

function kindOf(stats: Awaited<ReturnType<typeof fs.stat>>): FileFacts['kind'] {
  if (stats.isDirectory()) return 'folder'
  if (stats.isCharacterDevice()) return 'char'
  if (stats.isBlockDevice()) return 'block'
  if (stats.isFIFO()) return 'fifo'
  return stats.isSocket() ? 'socket' : 'file'
}

async function realPath(path: string): Promise<string> {
  const real = await orNull(fs.realpath(path))
  if (real !== null) return real
  const parent = dirname(path)
  return parent === path ? path : join(await realPath(parent), basename(path))
}

async function removeTree(...all: readonly string[]): Promise<void> {
  const paths = all.filter((path) => !removeNow(path))
  if (paths.length === 0) return
  // rm(1) knows --one-file-system, node:fs does not: a mount that is still there must survive its folder.
  const result = await run('rm', ['-rf', '--one-file-system', '--', ...paths], {
    timeoutMs: 120_000,
  })
  if (result.exitCode !== 0)
    throw new PakError('storage', `remove \`${paths.join('`, `')}\`: ${result.stderr.trim()}`)
}

/** A folder with more in it than this is for rm(1), which nobody waits for meanwhile. */
const FEW_FILES = 32

/**
 * A plain file, an empty folder, and one of a few of these need no program. True: nothing is left of the path. A mount,
 * and what is deeper, is not touched.
 */
const removeNow = (path: string): boolean =>
  removeOne(path) || (fewIn(path).every((name) => removeOne(join(path, name))) && removeOne(path))

function fewIn(path: string): readonly string[] {
  try {
    const names = readdirSync(path)
    return names.length > FEW_FILES ? [] : names
  } catch {
    // What it is, and why it cannot be removed, is for rm(1) to say.
    return []
  }
}

const removeOne = (path: string): boolean =>
  [rmdirSync, unlinkSync, rmdirSync].some((removal) => {
    try {
      removal(path)
      return true
    } catch (error) {
      return isMissing(error)
    }
  })

async function removeFolder(path: string): Promise<boolean> {
  try {
    await fs.rmdir(path)
    return true
  } catch (error) {
    if (isMissing(error)) return true
    if (hasCode(error, 'EBUSY') || hasCode(error, 'ENOTEMPTY')) return false
    throw error
  }
}

function kill(pid: number, signal: NodeJS.Signals | number): boolean {
  if (!Number.isSafeInteger(pid) || pid < 2) throw new Error(`kill: pid ${pid} is nobody's`)
  try {
    return process.kill(pid, signal)
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return false
    throw error
  }
}

async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (isMissing(error) || hasCode(error, 'ENOTDIR') || hasCode(error, 'ENODEV')) return null
    throw error
  }
}

const isMissing = (error: unknown): boolean => hasCode(error, 'ENOENT')
const isPrematureClose = (error: unknown): boolean =>
  hasCode(error, 'ERR_STREAM_PREMATURE_CLOSE') || hasCode(error, 'ECONNRESET')
const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code
