import type { JournaldLogging } from '../../model/logging.ts'
import { type Message, type Sender, tagOf } from './message.ts'
import { pieces } from './text.ts'

/** journald.conf(5), LineMax: what a line of any other program may have. It also has to fit into a datagram. */
const TEXT_BYTES = 48 * 1024
/** Names begin with a letter, and one with an underscore is the journal's own (systemd.journal-fields(7)). */
const FIELD_LENGTH = 64

/** Entries of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL), with the names of Docker's driver. */
export function journalEntries(
  { text, severity, time, whole }: Message,
  { tag: template, labels }: JournaldLogging,
  sender: Sender,
): readonly Buffer[] {
  const tag = tagOf(template, sender)
  const common = [
    field('PRIORITY', String(severity)),
    field('SYSLOG_IDENTIFIER', tag),
    field('SYSLOG_TIMESTAMP', time),
    field('CONTAINER_ID', sender.id.slice(0, 12)),
    field('CONTAINER_ID_FULL', sender.id),
    field('CONTAINER_NAME', sender.name),
    field('CONTAINER_TAG', tag),
    field('IMAGE_NAME', sender.image),
    field('PAK_PROJECT', sender.project),
    field('PAK_SERVICE', sender.service),
    ...labels.flatMap((label) => {
      const value = sender.labels[label]
      return value === undefined ? [] : [field(fieldName(label), value)]
    }),
  ]
  const parts = pieces(text, TEXT_BYTES)
  return parts.map((part, index) => {
    const goesOn = !whole || index < parts.length - 1
    const partial = goesOn ? [field('CONTAINER_PARTIAL_MESSAGE', 'true')] : []
    return Buffer.concat([field('MESSAGE', part), ...common, ...partial])
  })
}

/** Docker's way: letters and digits, anything else an underscore. */
function fieldName(label: string): string {
  const name = label.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')
  return (/^[A-Z]/.test(name) ? name : `LABEL_${name}`).slice(0, FIELD_LENGTH)
}

/** With its length wherever there could be a newline in it: nothing in a value begins another field. */
function field(name: string, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  if (!bytes.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), bytes, NEWLINE])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(bytes.length))
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, NEWLINE])
}

const NEWLINE = Buffer.from('\n')
