import { Writable } from 'node:stream'
import picocolors from 'picocolors'
import type { Terminal } from '../../src/cli/terminal.ts'

/** A terminal that keeps what is written; nobody sits before it. */
export function paperTerminal() {
  const written = { stdout: '', stderr: '' }
  const stream = (name: keyof typeof written) =>
    new Writable({
      write(chunk, _encoding, done) {
        written[name] += String(chunk)
        done()
      },
    }) as unknown as NodeJS.WriteStream
  const colors = picocolors.createColors(false)
  const [stdout, stderr] = [stream('stdout'), stream('stderr')]
  const terminal: Terminal = {
    stdin: process.stdin,
    stdout,
    stderr,
    colors,
    errorColors: colors,
    dumb: false,
    print: async (text) => void stdout.write(text),
    warn: (text) => void stderr.write(`${text}\n`),
  }
  return {
    ...terminal,
    stdoutText: () => written.stdout,
    stderrText: () => written.stderr,
  }
}
