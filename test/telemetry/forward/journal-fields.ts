/** An entry as journald reads it: systemd.io/JOURNAL_NATIVE_PROTOCOL. */
export function journalFields(entry: Buffer): Readonly<Record<string, Buffer>> {
  const found: Record<string, Buffer> = {}
  for (let at = 0; at < entry.length; ) {
    const end = entry.indexOf('\n', at)
    const line = entry.subarray(at, end)
    const equals = line.indexOf('=')
    if (equals >= 0) {
      found[line.toString('utf8', 0, equals)] = line.subarray(equals + 1)
      at = end + 1
      continue
    }
    const length = Number(entry.readBigUInt64LE(end + 1))
    found[line.toString()] = entry.subarray(end + 9, end + 9 + length)
    if (entry[end + 9 + length] !== 0x0a) throw new Error('no newline after a value')
    at = end + 10 + length
  }
  return found
}
