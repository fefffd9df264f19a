import { PakError } from '../errors.ts'
import { lineText, positionOf, type Span } from './source.ts'

/** One thing wrong with the manifest, with everything that is needed to show it. */
export interface Problem {
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1. */
  readonly column: number
  /** For example `containers.web.ports[0]`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  readonly hint: string | null
  /** The offending line, safe to print. */
  readonly excerpt: string
  /** How many characters of the excerpt the caret covers, at least 1. */
  readonly length: number
  /** Column of the caret in the excerpt, from 1; it differs from `column` where a long line was cut. */
  readonly caret: number
}

/** Every problem of a manifest at once. The message is the whole report. */
export class ManifestError extends PakError {
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    super('manifest', renderProblems(problems))
    this.problems = problems
  }
}

export type Path = readonly (string | number)[]

/** Gathers problems; at most one for each path, because the first one explains the rest. */
export interface Problems {
  report(report: ProblemReport): void
  /** Whether something at this path or above it is already known to be wrong. */
  covers(path: Path): boolean
  /** Whether something below this path is. */
  reachesInto(path: Path): boolean
  readonly list: readonly Problem[]
  /** Throw what was gathered, in the order of the files. */
  throwIfAny(): void
}

interface ProblemReport {
  readonly span: Span
  readonly path: Path
  readonly message: string
  readonly hint?: string | null
}

export function gatherProblems(): Problems {
  const list: Problem[] = []
  const exact = new Set<string>()
  const ancestors = new Set<string>()
  return {
    list,
    report({ span, path, message, hint }) {
      const key = path.join('\0')
      if (path.length > 0 && exact.has(key)) return
      exact.add(key)
      for (let n = 1; n < path.length; n++) ancestors.add(path.slice(0, n).join('\0'))
      list.push(toProblem(span, renderPath(path), message, hint ?? null))
    },
    covers(path) {
      return path.some((_, n) => exact.has(path.slice(0, n + 1).join('\0')))
    },
    reachesInto(path) {
      return ancestors.has(path.join('\0'))
    },
    throwIfAny() {
      if (list.length > 0) throw new ManifestError(inFileOrder(list))
    },
  }
}

/** `containers.web.ports[0]`; a part that is no plain word is quoted. */
export function renderPath(path: Path): string {
  let text = ''
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[\w-]{1,80}$/.test(part)) text += text === '' ? part : `.${part}`
    else text += `[${JSON.stringify(shorten(printable(part)))}]`
  }
  return text
}

/** Text of unknown origin on one line: no control characters, so that no escape reaches a terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => (c === '\t' ? ' ' : '\ufffd'))
}

/** A value as it is quoted in a message: short and printable. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  if (typeof value === 'string') return value === '' ? 'an empty text' : shorten(printable(value))
  return String(value)
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

const EXCERPT_WIDTH = 120

function toProblem(span: Span, path: string, message: string, hint: string | null): Problem {
  const { line, column } = positionOf(span.source, span.start)
  const whole = lineText(span.source, line)
  const from = column > EXCERPT_WIDTH - 20 ? column - 21 : 0
  const excerpt = printable(whole.slice(from, from + EXCERPT_WIDTH)).trimEnd()
  const caret = column - from
  const room = Math.max(1, excerpt.length - caret + 1)
  const length = Math.max(1, Math.min(span.end - span.start, room))
  return { file: span.source.name, line, column, path, message, hint, excerpt, length, caret }
}

function inFileOrder(list: readonly Problem[]): readonly Problem[] {
  return list
    .map((problem, n) => ({ problem, n }))
    .sort((a, b) => {
      if (a.problem.file !== b.problem.file) return a.n - b.n
      return a.problem.line - b.problem.line || a.problem.column - b.problem.column
    })
    .map(({ problem }) => problem)
}

const MOST_SHOWN = 50

function renderProblems(problems: readonly Problem[]): string {
  const parts = problems.slice(0, MOST_SHOWN).map(renderProblem)
  if (problems.length > MOST_SHOWN) parts.push(`and ${problems.length - MOST_SHOWN} more problems`)
  return parts.join('\n')
}

function renderProblem(problem: Problem): string {
  const { file, line, column, path, excerpt, length, caret } = problem
  const head = `${printable(file)}:${line}:${column}${path === '' ? '' : `  ${path}`}`
  const number = String(line).padStart(5)
  const margin = ' '.repeat(number.length)
  const said = problem.hint === null ? problem.message : `${problem.message}; ${problem.hint}`
  const marker = `${' '.repeat(caret - 1)}${'^'.repeat(length)}`
  return `${head}\n${number} | ${excerpt}\n${margin} | ${marker}  ${said}`
}
