import { FACILITIES, type SyslogLogging } from '../../model/logging.ts'
import { type Message, type Sender, tagOf } from './message.ts'
import { pieces, printable } from './text.ts'

/** RFC 5424, 6.1: every receiver takes 480 bytes, and should 2048; a datagram has to arrive in one. */
const UDP_BYTES = 2048
/** What rsyslog and syslog-ng take unless told otherwise. */
const OTHER_BYTES = 8192
/** RFC 5424, 6: APP-NAME. */
const APP_NAME_LENGTH = 48
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

export interface SyslogSender extends Sender {
  readonly hostname: string
}

/** The messages that a line becomes, without what separates them on their way. Too long a line is several. */
export function syslogMessages(
  { text, severity, time }: Message,
  settings: SyslogLogging,
  sender: SyslogSender,
): readonly Buffer[] {
  const header = Buffer.from(headerOf({ severity, time }, settings, sender))
  const most = settings.address.kind === 'udp' ? UDP_BYTES : OTHER_BYTES
  return pieces(printable(text), most - header.length).map((piece) =>
    Buffer.concat([header, piece]),
  )
}

/**
 * For a stream: with its length before it (RFC 6587, 3.4.1), or, as receivers of the old format expect it, a newline after it
 * (3.4.2), which cannot be within it.
 */
export function framed(message: Buffer, format: SyslogLogging['format']): Buffer {
  return format === 'local' || format === 'rfc3164'
    ? Buffer.concat([message, Buffer.from('\n')])
    : Buffer.concat([Buffer.from(`${message.length} `), message])
}

function headerOf(
  { severity, time }: Pick<Message, 'severity' | 'time'>,
  { facility, format, tag: template }: SyslogLogging,
  sender: SyslogSender,
): string {
  const priority = `<${FACILITIES.indexOf(facility) * 8 + severity}>`
  const tag = word(tagOf(template, sender), APP_NAME_LENGTH)
  const host = word(sender.hostname, 255)
  if (format === 'local') return `${priority}${oldTime(time)} ${tag}: `
  if (format === 'rfc3164') return `${priority}${oldTime(time)} ${host} ${tag}: `
  return `${priority}1 ${newTime(time, format === 'rfc5424micro' ? 6 : 0)} ${host} ${tag} - - - `
}

/** Printable ASCII without blanks. */
function word(text: string, mostLength: number): string {
  return text.replaceAll(/[^!-~]/g, '_').slice(0, mostLength) || '-'
}

/** RFC 5424, 6.2.3: at most six digits of a second. */
function newTime(time: string, digits: number): string {
  const [, seconds = '', fraction = '', zone = ''] =
    /^(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time) ?? []
  if (seconds === '') return '-'
  const shown = digits === 0 ? '' : `.${fraction.padEnd(digits, '0').slice(0, digits)}`
  return `${seconds}${shown}${zone}`
}

/** RFC 3164, 4.1.2: local time without a year. */
function oldTime(time: string): string {
  const at = new Date(time)
  const two = (value: number) => String(value).padStart(2, '0')
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':')
  return `${MONTHS[at.getMonth()]} ${String(at.getDate()).padStart(2, ' ')} ${clock}`
}
