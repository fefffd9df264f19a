import type { Check, Diagnosis } from '../commands/doctor.ts'
import type { Invocation } from '../grammar.ts'
import type { Colors } from '../terminal.ts'

/** `doctor`; exit status 1 when something is missing that pak cannot do without. */
export async function printDoctor(
  { checks, install }: Diagnosis,
  { flags, terminal }: Invocation,
): Promise<number> {
  const missing = checks.filter(({ status }) => status === 'missing')
  if (flags.text('format') === 'json') {
    await terminal.print(`${JSON.stringify(checks, null, 2)}\n`)
    return missing.length > 0 ? 1 : 0
  }
  const width = Math.max(...checks.map(({ name }) => name.length))
  const lines = checks.map((check) => line(check, width, terminal.colors))
  await terminal.print(`${lines.join('\n')}\n`)
  if (install !== null)
    await terminal.print(
      `\nto install what is not there: ${install.join(' ')}\nor: pak doctor --install\n`,
    )
  if (missing.length === 0) await terminal.print('\nthis host can run pak\n')
  return missing.length > 0 ? 1 : 0
}

function line(check: Check, width: number, colors: Colors): string {
  const { green, yellow, red, dim } = colors
  const mark = { ok: green('ok     '), limited: yellow('limited'), missing: red('missing') }
  const brought = check.package === null ? '' : ` (package ${check.package})`
  const found = check.found ?? 'not there'
  return `${mark[check.status]}  ${check.name.padEnd(width)}  ${found}${brought} ${dim(`- ${check.detail}`)}`
}
