import { type SchemaError, validate } from './generated/validator.js'
import { nearest } from './nearest.ts'
import { type Problems, shown } from './problem.ts'
import { type Field, fieldAt, spanOf, toPlain } from './tree.ts'

/** Hold a manifest against schema/pak.schema.json, and report in the reader's words what does not fit. */
export function validateManifest(root: Field, problems: Problems): void {
  const plain = toPlain(root.node)
  if (validate(plain)) return
  const errors = withoutBranches(validate.errors ?? [])
  for (const error of errors.slice(0, MOST_ERRORS)) explain({ root, plain, problems }, error)
}

const MOST_ERRORS = 1000

/**
 * Of a choice that nothing fits, keep what is wrong inside of the branch that was meant, else only that
 * nothing fits. The validator puts the errors of the branches right before that of the choice.
 */
function withoutBranches(errors: readonly SchemaError[]): readonly SchemaError[] {
  const kept: SchemaError[] = []
  for (const error of errors) {
    if (error.keyword === 'propertyNames') continue
    if (error.keyword !== 'anyOf') {
      kept.push(error)
      continue
    }
    const branches: SchemaError[] = []
    for (let last = kept.at(-1); last !== undefined && isBelow(last, error); last = kept.at(-1)) {
      branches.unshift(last)
      kept.pop()
    }
    const inside = branches.filter((branch) => isInside(branch, error))
    kept.push(...(inside.length > 0 ? inside : [error]))
  }
  return kept
}

function isBelow(error: SchemaError, choice: SchemaError): boolean {
  const { instancePath } = choice
  return error.instancePath === instancePath || error.instancePath.startsWith(`${instancePath}/`)
}

const ABOUT_MEMBERS: ReadonlySet<string> = new Set([
  'additionalProperties',
  'required',
  'maxItems',
  'minItems',
])

function isInside(error: SchemaError, choice: SchemaError): boolean {
  return error.instancePath.length > choice.instancePath.length || ABOUT_MEMBERS.has(error.keyword)
}

interface Explanation {
  readonly root: Field
  readonly plain: unknown
  readonly problems: Problems
}

function explain({ root, plain, problems }: Explanation, error: SchemaError): void {
  const path = pathOf(plain, error.instancePath)
  const field = fieldAt(root, path)
  const rule: SchemaRule = error.parentSchema ?? {}
  const { additionalProperty, missingProperty } = error.params
  if (error.propertyName !== undefined) {
    const name = fieldAt(root, [...path, error.propertyName])
    const message = `expected ${rule.title ?? 'another name'}, got ${shown(error.propertyName)}`
    problems.report({ span: name.key, path: name.path, message })
  } else if (typeof additionalProperty === 'string') {
    const unknown = fieldAt(root, [...path, additionalProperty])
    const hint = nearest(additionalProperty, Object.keys(rule.properties ?? {}))
    const message = `unknown key \`${shown(additionalProperty)}\``
    problems.report({ span: unknown.key, path: unknown.path, message, hint })
  } else if (typeof missingProperty === 'string') {
    problems.report({ span: spanOf(field), path, message: `\`${missingProperty}\` is missing` })
  } else if (error.keyword === 'not') {
    problems.report({ span: field.key, path, message: rule.description ?? 'not supported yet' })
  } else {
    const message = `expected ${rule.title ?? error.message}, got ${shownAt(field)}`
    problems.report({ span: spanOf(field), path, message, hint: typeHint(field) })
  }
}

function shownAt({ node }: Field): string {
  if (node.kind !== 'scalar') return node.kind === 'map' ? 'a map' : 'a list'
  return typeof node.value === 'boolean' ? `the boolean ${node.value}` : shown(node.value)
}

function typeHint({ node }: Field): string | null {
  if (node.kind !== 'scalar') return null
  if (typeof node.value === 'boolean') return 'quote it to make it a text'
  if (typeof node.value === 'number') return null
  if (/^(yes|on)$/i.test(node.text)) return 'say `true`'
  return /^(no|off)$/i.test(node.text) ? 'say `false`' : null
}

/** The annotations of the rule that failed. */
interface SchemaRule {
  readonly title?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, unknown>>
}

function pathOf(data: unknown, pointer: string): readonly (string | number)[] {
  let at = data
  return pointer
    .split('/')
    .slice(1)
    .map((escaped) => {
      const part = unescapePart(escaped)
      const step = Array.isArray(at) ? Number(part) : part
      at = member(at, part)
      return step
    })
}

function member(of: unknown, name: string): unknown {
  return typeof of === 'object' && of !== null && Object.hasOwn(of, name)
    ? (of as Record<string, unknown>)[name]
    : undefined
}

function unescapePart(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~')
}
