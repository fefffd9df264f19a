import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JournaldLogging, SyslogLogging } from '../../../src/model/logging.ts'
import { journalEntries } from '../../../src/telemetry/forward/journal.ts'
import type { Message } from '../../../src/telemetry/forward/message.ts'
import { framed, syslogMessages } from '../../../src/telemetry/forward/syslog.ts'
import { pieces, printable } from '../../../src/telemetry/forward/text.ts'
import { journalFields } from './journal-fields.ts'

const TIME = '2026-01-02T03:04:05.123456789+02:00'
const ID = 'ab'.repeat(32)
const SENDER = {
  ...{ name: 'shop-web-1', id: ID, image: 'web:1', project: 'shop', service: 'web' },
  ...{ labels: { 'com.example.tier': 'front\nPRIORITY=0' }, hostname: 'host one' },
}
const SYSLOG: SyslogLogging = {
  ...{ driver: 'syslog', maxBytes: 1, maxFiles: 1, tag: '{{.Name}}/{{.ID}}' },
  address: { kind: 'udp', host: '127.0.0.1', port: 514 },
  ...{ facility: 'local0', format: 'rfc5424' },
}
const message = (text: string | Buffer, more: Partial<Message> = {}): Message => ({
  ...{ severity: 6, time: TIME, text: Buffer.from(text), whole: true },
  ...more,
})
const lines = (one: Message, change: Partial<SyslogLogging> = {}) =>
  syslogMessages(one, { ...SYSLOG, ...change }, SENDER).map((bytes) => bytes.toString())

test('RFC 5424, RFC 3164 and what programs write to /dev/log', () => {
  assert.equal(lines(message('hello')), [
    '<134>1 2026-01-02T03:04:05+02:00 host_one shop-web-1/abababababab - - - hello',
  ])
  assert.equal(
    lines(message('no', { severity: 3 }), { format: 'rfc5424micro', facility: 'kern' }),
    ['<3>1 2026-01-02T03:04:05.123456+02:00 host_one shop-web-1/abababababab - - - no'],
  )
  assert.match(
    lines(message('old'), { format: 'rfc3164', tag: 'web' }).join(''),
    /^<134>Jan {2}2 \d\d:04:05 host_one web: old$/,
  )
  assert.match(
    lines(message('own'), { format: 'local', tag: 'web' }).join(''),
    /^<134>Jan {2}2 \d\d:04:05 web: own$/,
  )
})

test('on a stream a length stands before a message, or a newline after an old one', () => {
  assert.is(framed(Buffer.from('é'), 'rfc5424').toString(), '2 é')
  assert.is(framed(Buffer.from('é'), 'rfc3164').toString(), 'é\n')
})

test('a datagram has at most 2048 bytes, and none ends within a character', () => {
  const long = 'ab€'.repeat(2000)
  const found = syslogMessages(message(long), SYSLOG, SENDER)
  assert.ok(found.length > 4)
  for (const bytes of found) assert.ok(bytes.length <= 2048 && !bytes.toString().includes('\ufffd'))
  assert.is(found.map((bytes) => bytes.toString().split(' - - - ')[1]).join(''), long)
  // What is no UTF-8 at all ends, too.
  assert.is(Buffer.concat([...pieces(Buffer.alloc(1000, 0x80), 16)]).length, 1000)
})

test('a container forges nothing, and what it says in UTF-8 arrives as it is', () => {
  const show = (text: string | Buffer) => printable(Buffer.from(text)).toString()
  assert.is(show('größe €\t😀'), 'größe €\t😀')
  assert.is(show('\x1b[2J\0\r\n<0>1 \x7f\u0085'), '\\x1b[2J\\x00\\x0d\\x0a<0>1 \\x7f\\x85')
  assert.is(show(Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0xe2, 0x82])), 'a\\xffé\\xe2\\x82')
  assert.is(show('\ufffd\ufeff'), '\ufffd\ufeff')
})

const JOURNALD: JournaldLogging = {
  ...{ driver: 'journald', maxBytes: 1, maxFiles: 1, tag: 'web' },
  labels: ['com.example.tier', 'none'],
}

test('an entry of the journal has Docker’s fields, and no value begins another', () => {
  const [entry = Buffer.alloc(0), ...rest] = journalEntries(
    message(Buffer.from('a=b\xff', 'latin1'), { severity: 3 }),
    JOURNALD,
    SENDER,
  )
  assert.is(rest.length, 0)
  const { MESSAGE, ...fields } = journalFields(entry)
  assert.equal(MESSAGE, Buffer.from('a=b\xff', 'latin1'))
  assert.equal(
    Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value.toString()])),
    {
      PRIORITY: '3',
      SYSLOG_IDENTIFIER: 'web',
      SYSLOG_TIMESTAMP: TIME,
      CONTAINER_ID: 'abababababab',
      CONTAINER_ID_FULL: ID,
      CONTAINER_NAME: 'shop-web-1',
      CONTAINER_TAG: 'web',
      IMAGE_NAME: 'web:1',
      PAK_PROJECT: 'shop',
      PAK_SERVICE: 'web',
      COM_EXAMPLE_TIER: 'front\nPRIORITY=0',
    },
  )
})

test('a line that is too long for the journal is several, each but the last marked', () => {
  const entries = journalEntries(message('x'.repeat(100_000)), JOURNALD, SENDER).map(journalFields)
  assert.equal(
    entries.map(({ CONTAINER_PARTIAL_MESSAGE }) => CONTAINER_PARTIAL_MESSAGE?.toString()),
    ['true', 'true', undefined],
  )
  const [begun] = journalEntries(message('? ', { whole: false }), JOURNALD, SENDER)
  assert.is(
    journalFields(begun ?? Buffer.alloc(0))['CONTAINER_PARTIAL_MESSAGE']?.toString(),
    'true',
  )
})

test.run()
