import type { Hook } from '../model/desired.ts'
import { normalizeCommand } from './command.ts'
import { type Context, complain, Refusal, take, takeBoolean } from './context.ts'
import { normalizeVariables } from './environment.ts'
import { parseTarget, parseUser } from './names.ts'
import { child, type Field, itemsOf } from './tree.ts'

/** Compose's `post_start` and `pre_stop`, in the order of the file. */
export function normalizeHooks(context: Context, field: Field | null): readonly Hook[] {
  return itemsOf(field).flatMap((item) => {
    const command = normalizeCommand(context, child(item, 'command'))
    // Where there is none at all the schema has said so.
    if (command === null) return []
    if (command.length === 0) complain(context, item, new Refusal('a hook needs a `command`'))
    return [{ command, ...frameOf(context, item) }]
  })
}

function frameOf(context: Context, item: Field): Omit<Hook, 'command'> {
  const one = (name: string, parse: (text: string) => string) =>
    take<string | null>(context, child(item, name), { parse, fallback: null })
  return {
    user: one('user', parseUser),
    workingDir: one('working_dir', parseTarget),
    privileged: takeBoolean(child(item, 'privileged'), false),
    environment: normalizeVariables(context, child(item, 'environment')),
  }
}
