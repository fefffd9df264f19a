import type { Planned } from '../commands/plan.ts'
import type { Invocation } from '../grammar.ts'
import type { Colors } from '../terminal.ts'

/** `plan`: what would happen and why. With `--detailed-exitcode` 2 says that there is something to do. */
export async function printPlan(
  { plan, problems, simulated, savedTo }: Planned,
  { flags, terminal }: Invocation,
): Promise<number> {
  if (flags.text('format') === 'json')
    await terminal.print(`${JSON.stringify(publicPlan(plan), null, 2)}\n`)
  else await terminal.print(await planText(plan, terminal.colors))
  const { red, dim } = terminal.errorColors
  for (const { message, hint } of problems) {
    terminal.warn(`${red('error:')} ${message}`)
    if (hint !== null) terminal.warn(`${dim('hint:')} ${hint}`)
  }
  if (simulated !== null)
    terminal.warn(
      `simulated: ${simulated.done} steps done, ${simulated.left} left when planned again`,
    )
  if (savedTo !== null) terminal.warn(`saved; apply just this with: pak up --plan ${savedTo}`)
  if (problems.length > 0) return 1
  return flags.on('detailedExitcode') && plan.steps.length > 0 ? 2 : 0
}

async function planText(plan: Planned['plan'], colors: Colors): Promise<string> {
  const { renderPlan } = await import('../../plan/render.ts')
  const text = renderPlan(plan, colors)
  return text.endsWith('\n') ? text : `${text}\n`
}

/** Without the steps' arguments: these hold whole environments, and are no contract. */
function publicPlan({ project, steps, summary, warnings }: Planned['plan']) {
  return {
    project,
    steps: steps.map(({ id, op, on, because, needs, destroys }) => ({
      id,
      op,
      on,
      because,
      needs,
      destroys,
    })),
    summary,
    warnings,
  }
}
