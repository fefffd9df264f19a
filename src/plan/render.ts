import type { Plan, PlanSummary, Reason, Step, StepArgs } from '../model/plan.ts'
import { changeText, reasonText } from './reason.ts'
import { byAddress, type Outcome, outcomeOf } from './summary.ts'

/** How each kind of line is coloured; the words are the same without it. */
export type Palette = Readonly<
  Record<'green' | 'yellow' | 'red' | 'cyan' | 'dim', (text: string) => string>
>

/** The whole plan for a reader: what happens to each thing, in order, and why. Ends without a newline. */
export function renderPlan(plan: Plan, palette: Palette = PLAIN): string {
  const lines: string[] = []
  for (const [on, group] of byAddress(plan.steps)) lines.push(...groupLines(on, group, palette))
  for (const warning of plan.warnings) lines.push(palette.yellow(`  ! ${warning}`))
  if (plan.steps.length === 0) lines.push(`${plan.project}: nothing to do`)
  else lines.push('', `${plan.project}: ${summaryText(plan.summary)}`)
  return lines.join('\n')
}

/** `1 to create, 2 to recreate`; only what there is. */
export function summaryText(summary: PlanSummary): string {
  const words = (['create', 'update', 'recreate', 'remove', 'start', 'stop'] as const).flatMap(
    (verb) => (summary[verb] > 0 ? [`${summary[verb]} to ${verb}`] : []),
  )
  return words.length === 0 ? 'only the firewall and records to bring up to date' : words.join(', ')
}

const same = (text: string): string => text
const PLAIN: Palette = { green: same, yellow: same, red: same, cyan: same, dim: same }

const SYMBOLS: Readonly<Record<Outcome, readonly [string, keyof Palette]>> = {
  create: ['+', 'green'],
  recreate: ['±', 'yellow'],
  surge: ['±', 'green'],
  update: ['~', 'yellow'],
  remove: ['-', 'red'],
  restart: ['>', 'cyan'],
  start: ['>', 'cyan'],
  stop: ['x', 'red'],
  wait: ['…', 'dim'],
}

function groupLines(on: string, group: readonly Step[], palette: Palette): readonly string[] {
  const [symbol, colour] = SYMBOLS[outcomeOf(group)]
  const destroys = group.some((step) => step.destroys)
  const head = palette[colour](`  ${symbol} ${on}`)
  const note = destroys ? palette.red(' (its data is lost)') : ''
  const reason = mainReason(group)
  const details = reason.kind === 'changed' ? reason.fields.map(changeText) : []
  if (details.length > 1) {
    const lines = details.map((line) => palette.dim(`      ${line}`))
    return [`${head}  ${verbText(group)}${hooksText(group)}${note}`, ...lines]
  }
  return [`${head}  ${verbText(group)}${hooksText(group)}${note}: ${reasonText(reason)}`]
}

function verbText(group: readonly Step[]): string {
  const [first] = group
  if (first?.op === 'service.wait') {
    return `wait until ${UNTIL[first.args.condition]}`
  }
  if (group.every(({ op }) => op.startsWith('firewall.'))) return 'firewall'
  if (outcomeOf(group) === 'surge') return 'create, then remove'
  if (first?.op === 'container.kill') return `kill with ${first.args.signal}`
  if (first?.op === 'container.pause') return 'pause'
  if (first?.op === 'container.unpause') return 'unpause'
  return outcomeOf(group)
}

const UNTIL: Readonly<Record<StepArgs['service.wait']['condition'], string>> = {
  service_healthy: 'healthy',
  service_completed_successfully: 'completed',
  service_updated: 'updated',
}

function hooksText(group: readonly Step[]): string {
  const hooks = group.flatMap(({ op, args }) =>
    op === 'container.start' && 'hooks' in args ? [args.hooks] : [],
  )
  const [count] = hooks
  if (count === undefined) return ''
  return `, then ${count === 1 ? 'its post_start hook' : `its ${count} post_start hooks`}`
}

/** A group may have several reasons: what the step itself is for says more than what it follows. */
function mainReason(group: readonly Step[]): Reason {
  const reasons = group.map(({ because }) => because)
  const telling = reasons.find(({ kind }) => kind === 'changed' || kind === 'drift')
  return telling ?? reasons[0] ?? { kind: 'missing' }
}
