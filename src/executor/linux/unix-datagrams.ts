import type { ChildProcess } from 'node:child_process'
import { spawnProgram } from '../../kernel/spawn.ts'
import { type Sink, SinkClosed } from '../../telemetry/forward/sink.ts'

/**
 * Node has no datagram sockets of unix(7): perl sends for it, four bytes of length and then the message, and answers each
 * with a byte: `.` taken, `!` too long for this socket. It ends with its reason when nobody is there.
 */
const SENDER = `
use strict; use Socket; use Errno 'EMSGSIZE';
my $path = shift;
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "$!\\n";
connect($socket, pack_sockaddr_un($path)) or die "$!\\n";
sub take {
  my ($want, $got) = (shift, '');
  while (length $got < $want) {
    my $read = sysread(STDIN, $got, $want - length $got, length $got);
    die "$!\\n" unless defined $read;
    exit 0 if $read == 0;
  }
  return $got;
}
for (;;) {
  my $message = take(unpack 'N', take(4));
  my $taken = defined send($socket, $message, 0);
  die "$!\\n" unless $taken || $! == EMSGSIZE;
  syswrite(STDOUT, $taken ? '.' : '!');
}
`
/** What a reason may be long. */
const REASON_LENGTH = 300

/** A datagram socket of this machine, as /dev/log is one and journald's. Whoever sends waits for those before. */
export class UnixDatagrams implements Sink {
  readonly #path: string
  readonly #onTooLong: (count: number) => void
  #sender: ChildProcess | null = null
  #waiting: {
    readonly taken: (bytes: Buffer) => void
    readonly failed: (error: Error) => void
  } | null = null
  #before: Promise<void> = Promise.resolve()
  #closed = false

  constructor(path: string, onTooLong: (count: number) => void) {
    this.#path = path
    this.#onTooLong = onTooLong
  }

  send(messages: readonly Buffer[]): Promise<void> {
    const sent = this.#before.then(() => this.#send(messages))
    this.#before = sent.catch(() => {})
    return sent
  }

  [Symbol.dispose](): void {
    this.#closed = true
    this.#sender?.kill('SIGKILL')
    this.#waiting?.failed(new SinkClosed())
  }

  async #send(messages: readonly Buffer[]): Promise<void> {
    if (this.#closed) throw new SinkClosed()
    const sender = this.#sender ?? this.#start()
    const frames = messages.flatMap((message) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(message.length)
      return [length, message]
    })
    let missing = messages.length
    try {
      await new Promise<void>((resolve, reject) => {
        const taken = (answers: Buffer) => {
          missing -= answers.length
          const tooLong = answers.toString('latin1').split('!').length - 1
          if (tooLong > 0) this.#onTooLong(tooLong)
          if (missing <= 0) resolve()
        }
        this.#waiting = { taken, failed: reject }
        sender.stdin?.write(Buffer.concat(frames))
      })
    } finally {
      this.#waiting = null
    }
  }

  #start(): ChildProcess {
    // It must not outlive an agent that is killed while a receiver takes nothing.
    const args = ['--pdeathsig', 'KILL', 'perl', '-e', SENDER, this.#path]
    const sender = spawnProgram('setpriv', args, {
      stdio: 'pipe',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    })
    this.#sender = sender
    let reason = ''
    sender.stderr.on('data', (chunk: Buffer) => {
      reason = `${reason}${chunk.toString()}`.slice(0, REASON_LENGTH)
    })
    sender.stdout.on('data', (answers: Buffer) => this.#waiting?.taken(answers))
    // Broken when it has ended, which is heard of by `close`.
    sender.stdin.on('error', () => {})
    const ended = (error: Error) => {
      if (this.#sender === sender) this.#sender = null
      this.#waiting?.failed(error)
    }
    sender.once('error', ended)
    sender.once('close', () => ended(new Error(reason.trim() || 'the sender ended')))
    return sender
  }
}
