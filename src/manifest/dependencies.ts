import type { ContainerSpec, Dependency, DependencyCondition } from '../model/desired.ts'
import { attempt, type Context, compare, Refusal, takeBoolean } from './context.ts'
import { parseName } from './names.ts'
import { child, entriesOf, type Field, itemsOf, textOf } from './tree.ts'

/** `depends_on`, list or map, and what sharing a namespace needs, sorted by service. */
export function normalizeDependencies(
  context: Context,
  field: Field | null,
  container: ContainerSpec,
): readonly Dependency[] {
  const dependencies = new Map<string, Dependency>()
  for (const item of itemsOf(field)) {
    const make = () => {
      const service = parseName(textOf(item) ?? '')
      if (dependencies.has(service)) throw new Refusal(`service \`${service}\` is there twice`)
      dependencies.set(service, { ...PLAIN, service })
    }
    attempt<void>(context, item, { make, fallback: undefined })
  }
  for (const [service, options] of entriesOf(field))
    dependencies.set(service, {
      service,
      condition:
        CONDITIONS.find((known) => known === textOf(child(options, 'condition'))) ??
        'service_started',
      required: takeBoolean(child(options, 'required'), true),
      restart: takeBoolean(child(options, 'restart'), false),
    })
  // Whoever lives in another's namespace must be made after it, and again when it was made again.
  for (const service of sharedWith(container))
    if (!dependencies.has(service)) dependencies.set(service, { ...PLAIN, service, restart: true })
  return [...dependencies.values()].sort((a, b) => compare(a.service, b.service))
}

const PLAIN = { condition: 'service_started', required: true, restart: false } as const

const CONDITIONS: readonly DependencyCondition[] = [
  'service_started',
  'service_healthy',
  'service_completed_successfully',
]

/** Services whose network, process or IPC namespace the container joins. */
export function sharedWith(container: ContainerSpec): readonly string[] {
  return [container.networkMode, container.pidMode, container.ipcMode].flatMap((mode) =>
    mode?.kind === 'service' ? [mode.service] : [],
  )
}
