import { PakError } from '../../errors.ts'
import type { ObservedState } from '../../model/observed.ts'
import {
  type NamedRule,
  type PolicyDirection,
  type PolicyVerdict,
  ruleName,
  rulesOf,
  ruleText,
} from '../../model/policy.ts'
import type { Invocation } from '../grammar.ts'
import { projectName } from '../project.ts'
import { openAgent } from '../session.ts'

/** One rule of `pak network policy`, in the order in which rules are asked. */
export interface PolicyRow {
  readonly service: string
  readonly direction: PolicyDirection
  /** `deny 1`, `allow 2`, `default`. */
  readonly rule: string
  readonly who: string
  readonly verdict: PolicyVerdict
  /** Packets that it dropped, or that opened a connection which it let pass. */
  readonly packets: number
  readonly bytes: number
  /** Whether the kernel does it now. */
  readonly inForce: boolean
}

/** `network policy`: of the project, or of services or networks that are named. */
export async function policy({
  globals,
  interrupts,
  words,
}: Invocation): Promise<readonly PolicyRow[]> {
  const project = await projectName(globals)
  const agent = await openAgent(globals, interrupts.signal)
  const observed = await agent.inspect(project)
  const concerned = words.map((word) => servicesOf(observed, word))
  return rowsOf(observed).filter(
    ({ service }) => words.length === 0 || concerned.some((names) => names.has(service)),
  )
}

/** A word is a service, or a network and then all that are on it. */
function servicesOf(
  { project, containers, networks, firewall }: ObservedState,
  word: string,
): ReadonlySet<string> {
  const ruled = firewall.policies?.planned?.rules.map(({ service }) => service) ?? []
  const services = new Set([...containers.map(({ service }) => service), ...ruled])
  if (services.has(word)) return new Set([word])
  if (networks.some(({ spec }) => spec.name === word)) {
    const there = containers.filter(({ addresses }) => Object.hasOwn(addresses, word))
    return new Set(there.map(({ service }) => service))
  }
  throw new PakError(
    'not_found',
    `network policy \`${word}\`: no such service or network in ${project}`,
  )
}

function rowsOf({ firewall: { policies } }: ObservedState): readonly PolicyRow[] {
  const rules = (policies?.planned?.rules ?? []).flatMap((each) =>
    (['ingress', 'egress'] as const).flatMap((direction) => rulesOf(each, direction)),
  )
  return rules.map((rule) => {
    const count = policies?.counts[ruleName(rule)]
    return {
      service: rule.service,
      direction: rule.direction,
      rule: rule.list === 'default' ? 'default' : `${rule.list} ${rule.number}`,
      who: whoOf(rule),
      verdict: rule.verdict,
      packets: count?.packets ?? 0,
      bytes: count?.bytes ?? 0,
      inForce: policies?.whole === true,
    }
  })
}

const whoOf = ({ list, rule }: NamedRule): string =>
  list === 'default' ? 'everybody else' : ruleText(rule)
