/** Medians. Milliseconds and KiB; `null`: this peer has no such thing. */
export interface Figures {
  readonly peer: string
  readonly count: number
  readonly upMs: number | null
  readonly noopUpMs: number | null
  readonly planMs: number | null
  readonly psMs: number | null
  readonly downMs: number | null
  readonly rssKiB: number | null
  readonly pssKiB: number | null
}

export interface Report {
  readonly machine: string
  readonly rounds: number
  /** Command -> milliseconds. */
  readonly starts: Readonly<Record<string, number>>
  readonly figures: readonly Figures[]
}

const HEAD = ['containers', '', 'up -d', 'no-op up', 'plan', 'ps', 'down', 'RSS', 'PSS']

/** A Markdown table, fit for the README. */
export function table({ machine, rounds, starts, figures }: Report): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    '',
    `${machine}; medians of ${rounds} rounds.`,
    '',
    row(HEAD),
    row(HEAD.map(() => '---')),
    ...figures.map((one) => row(cellsOf(one))),
    '',
    ...Object.entries(starts).map(([command, ms]) => `${command}: ${ms.toFixed(0)} ms`),
    '',
  ].join('\n')
}

function cellsOf({ count, peer, rssKiB, pssKiB, ...times }: Figures): readonly string[] {
  const { upMs, noopUpMs, planMs, psMs, downMs } = times
  return [
    String(count),
    peer,
    ...[upMs, noopUpMs, planMs, psMs, downMs].map(duration),
    ...[rssKiB, pssKiB].map(size),
  ]
}

function duration(ms: number | null): string {
  if (ms === null) return ''
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`
}

const size = (kib: number | null): string => (kib === null ? '' : `${(kib / 1024).toFixed(1)} MiB`)
