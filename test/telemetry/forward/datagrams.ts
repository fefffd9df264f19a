import { spawn } from 'node:child_process'
import { once } from 'node:events'

const RECEIVER = `
use strict; use Socket; $| = 1;
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die; bind($socket, pack_sockaddr_un($ARGV[0])) or die "$!\\n";
print "ready\\n";
while (defined recv($socket, my $data, 1 << 20, 0)) { print unpack('H*', $data), "\\n" }
`

export interface Datagrams extends AsyncDisposable {
  readonly got: readonly Buffer[]
  /** It listens, and takes nothing. */
  hold(): void
  goOn(): void
}

/** A datagram socket of unix(7) at a path that is free. */
export async function datagramsAt(path: string): Promise<Datagrams> {
  const child = spawn('perl', ['-e', RECEIVER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  const got: Buffer[] = []
  let rest = ''
  let isReady = false
  const ready = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => reject(new Error('the receiver has ended')))
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = `${rest}${chunk.toString()}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines)
        if (isReady) got.push(Buffer.from(line, 'hex'))
        else {
          isReady = true
          resolve()
        }
    })
  })
  await ready
  const ended = once(child, 'close')
  return {
    got,
    hold: () => void child.kill('SIGSTOP'),
    goOn: () => void child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
