/** Bytes through the interfaces of one network namespace, the loopback left out. */
export interface Traffic {
  readonly rxBytes: number
  readonly txBytes: number
}

/** Parses `/proc/<pid>/net/dev` (proc_net(5)): 16 numbers after each name, received ones first. */
export function parseTraffic(text: string): Traffic {
  let [rxBytes, txBytes] = [0, 0]
  for (const line of text.split('\n')) {
    const colon = line.lastIndexOf(':')
    const name = line.slice(0, Math.max(0, colon)).trim()
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number)
    if (name === '' || name === 'lo' || numbers.length < 16 || numbers.some(Number.isNaN)) continue
    rxBytes += numbers[0] ?? 0
    txBytes += numbers[8] ?? 0
  }
  return { rxBytes, txBytes }
}
