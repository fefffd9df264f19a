import {
  addressText,
  FACILITIES,
  type Facility,
  FILE_LOGGING,
  type KeptFiles,
  type Logging,
  type SyslogAddress,
  type SyslogFormat,
  type SyslogLogging,
  TAG_WORDS,
} from '../model/logging.ts'
import { type Context, complain, Refusal, take } from './context.ts'
import { shown } from './problem.ts'
import { parseInteger, parseSize } from './quantities.ts'
import { child, entriesOf, type Field, textOf } from './tree.ts'

/** Less than this is a few lines: the monitor writes up to 8 KiB at once. */
const LEAST_BYTES = 64 * 1024
const TAG_LENGTH = 200
const SYSLOG_PORT = 514
/** sun_path, unix(7). */
const PATH_BYTES = 107
const HOST =
  /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*)(?::(\d{1,5}))?$/
const KEPT = ['max-size', 'max-file']
const OPTIONS: Readonly<Record<Logging['driver'], readonly string[]>> = {
  file: KEPT,
  none: [],
  syslog: [...KEPT, 'syslog-address', 'syslog-facility', 'syslog-format', 'tag'],
  journald: [...KEPT, 'tag', 'labels'],
}

/** Compose's `logging`. Its drivers `json-file` and `local` mean a file on this machine, as `file` does. */
export function normalizeLogging(context: Context, field: Field | null): Logging {
  const options = child(field, 'options')
  const driver = driverOf(textOf(child(field, 'driver')))
  if (options !== null) refuseStrangers(context, options, driver)
  if (driver === 'none') return { driver }
  const { maxBytes, maxFiles } = FILE_LOGGING
  const kept: KeptFiles = {
    maxBytes: take(context, child(options, 'max-size'), { parse: parseBytes, fallback: maxBytes }),
    maxFiles: take(context, child(options, 'max-file'), { parse: parseCount, fallback: maxFiles }),
  }
  if (driver === 'file') return { driver, ...kept }
  const tag = take(context, child(options, 'tag'), { parse: parseTag, fallback: '{{.Name}}' })
  if (driver === 'syslog') return { driver, ...kept, ...syslog(context, options), tag }
  const labels = take(context, child(options, 'labels'), { parse: parseLabels, fallback: [] })
  return { driver, ...kept, tag, labels }
}

/** The same in pak.yaml's words. */
export function loggingManifest(logging: Logging): Readonly<Record<string, unknown>> {
  const { driver } = logging
  if (driver === 'none') return { driver }
  const kept = { 'max-size': logging.maxBytes, 'max-file': logging.maxFiles }
  if (driver === 'file') return { driver, options: kept }
  const { tag } = logging
  if (driver === 'journald') {
    const labels = logging.labels.length === 0 ? {} : { labels: logging.labels.join(',') }
    return { driver, options: { ...kept, tag, ...labels } }
  }
  const format = logging.format === 'local' ? {} : { 'syslog-format': logging.format }
  const address = { 'syslog-address': addressText(logging.address) }
  return {
    driver,
    options: { ...kept, ...address, 'syslog-facility': logging.facility, ...format, tag },
  }
}

function driverOf(text: string | null): Logging['driver'] {
  return text === 'none' || text === 'syslog' || text === 'journald' ? text : 'file'
}

function refuseStrangers(context: Context, options: Field, driver: Logging['driver']): void {
  for (const [name, option] of entriesOf(options)) {
    if (OPTIONS[driver].includes(name) || name.startsWith('x-')) continue
    const reason =
      driver === 'none'
        ? 'where no log is kept there are no options for it'
        : `\`${name}\` is no option of the driver ${driver}`
    complain(context, option, new Refusal(reason))
  }
}

function syslog(
  context: Context,
  options: Field | null,
): Pick<SyslogLogging, 'address' | 'facility' | 'format'> {
  const local: SyslogAddress = { kind: 'unix', path: '/dev/log' }
  const field = child(options, 'syslog-address')
  const address = take(context, field, { parse: parseAddress, fallback: local })
  const usual: SyslogFormat = address.kind === 'unix' ? 'local' : 'rfc5424'
  return {
    address,
    facility: take(context, child(options, 'syslog-facility'), {
      parse: parseFacility,
      fallback: 'daemon',
    }),
    format: take(context, child(options, 'syslog-format'), { parse: parseFormat, fallback: usual }),
  }
}

const parseCount = parseInteger({ what: 'number of log files', least: 1, most: 1000 })
const parsePort = parseInteger({ what: 'port', least: 1, most: 65_535 })

function parseBytes(text: string): number {
  const bytes = parseSize(text)
  if (bytes < LEAST_BYTES) throw new Refusal(`a log file has at least 64k, got ${shown(text)}`)
  return bytes
}

function parseAddress(text: string): SyslogAddress {
  const [, scheme = '', rest = ''] = /^([a-z+]+):\/\/(.*)$/s.exec(text) ?? []
  if (scheme === 'unix' || scheme === 'unixgram') return { kind: 'unix', path: parsePath(rest) }
  if (scheme === 'tcp+tls') throw new Refusal('syslog over TLS is not supported yet')
  if (scheme !== 'udp' && scheme !== 'tcp')
    throw new Refusal(
      `expected udp://HOST:PORT, tcp://HOST:PORT or unix:///PATH, got ${shown(text)}`,
    )
  const found = HOST.exec(rest)
  if (found === null || (found[1] ?? '').length > 253)
    throw new Refusal(`expected HOST or HOST:PORT after ${scheme}://, got ${shown(rest)}`)
  const host = (found[1] ?? '').replace(/^\[(.*)\]$/, '$1')
  const port = found.at(-1)
  return { kind: scheme, host, port: port === undefined ? SYSLOG_PORT : parsePort(port) }
}

function parsePath(path: string): string {
  const whole = /^\/[!-~]+$/.test(path) && !path.split('/').includes('..')
  if (!whole || Buffer.byteLength(path) > PATH_BYTES)
    throw new Refusal(
      `a socket's path begins with a slash, without blanks and \`..\`, of up to ${PATH_BYTES} bytes`,
    )
  return path
}

function parseFacility(text: string): Facility {
  const found = FACILITIES.find((name, number) => name === text || String(number) === text)
  if (found === undefined)
    throw new Refusal(`no such facility: ${shown(text)}`, `one of ${FACILITIES.join(' ')}`)
  return found
}

function parseFormat(text: string): SyslogFormat {
  if (text === 'rfc3164' || text === 'rfc5424' || text === 'rfc5424micro') return text
  throw new Refusal(`expected rfc5424, rfc5424micro or rfc3164, got ${shown(text)}`)
}

function parseTag(text: string): string {
  if (text === '' || text.length > TAG_LENGTH || !/^[\x20-\x7e]+$/.test(text))
    throw new Refusal(`a tag has 1 to ${TAG_LENGTH} printable characters of ASCII`)
  const known: readonly string[] = TAG_WORDS
  const rest = text.replaceAll(/\{\{\s*\.(\w+)\s*\}\}/g, (all, word) =>
    known.includes(word) ? '' : all,
  )
  if (/\{\{|\}\}/.test(rest))
    throw new Refusal(
      `what stands in a tag is ${TAG_WORDS.map((word) => `{{.${word}}}`).join(', ')}, got ${shown(text)}`,
    )
  return text
}

const parseLabels = (text: string): readonly string[] =>
  [...new Set(text.split(',').map((label) => label.trim()))].filter((label) => label !== '').sort()
