import picocolors from 'picocolors'

export type Colors = ReturnType<typeof picocolors.createColors>

/** Where a command prints: stdout is data, stderr is progress and errors. */
export interface Terminal {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** For stdout. */
  readonly colors: Colors
  /** For stderr. */
  readonly errorColors: Colors
  /** `TERM=dumb` can neither move the cursor nor colour. */
  readonly dumb: boolean
  /** Write to stdout; resolves when the reader has room again, so that memory stays bounded. */
  print(text: string | Uint8Array): Promise<void>
  warn(text: string): void
}

interface TerminalRequest {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** `--ansi`; null: auto. */
  readonly ansi: string | null
}

/** The process's own streams. A reader that went away (`pak ps | head -1`) ends pak without a word. */
export function processTerminal({ environment, ansi }: TerminalRequest): Terminal {
  const { stdin, stdout, stderr } = process
  const dumb = environment['TERM'] === 'dumb'
  stdout.on('error', (error) => {
    if ('code' in error && error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
    throw error
  })
  stderr.on('error', () => {})
  const colored = (stream: NodeJS.WriteStream) =>
    picocolors.createColors(wantsColor({ environment, ansi, isTty: stream.isTTY === true }))
  return {
    stdin,
    stdout,
    stderr,
    colors: colored(stdout),
    errorColors: colored(stderr),
    dumb,
    print: (text) =>
      new Promise((resolve) => {
        if (text.length === 0 || stdout.write(text)) resolve()
        else stdout.once('drain', resolve)
      }),
    warn: (text) => void stderr.write(`${text}\n`),
  }
}

/** `--ansi`, then NO_COLOR, then FORCE_COLOR, then TERM=dumb, then whether somebody looks. */
export function wantsColor({
  environment,
  ansi,
  isTty,
}: TerminalRequest & { readonly isTty: boolean }): boolean {
  if (ansi === 'always') return true
  if (ansi === 'never' || (environment['NO_COLOR'] ?? '') !== '') return false
  const force = environment['FORCE_COLOR']
  if (force !== undefined && force !== '') return force !== '0' && force !== 'false'
  return isTty && environment['TERM'] !== 'dumb'
}
