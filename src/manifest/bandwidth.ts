import type { Bandwidth } from '../model/desired.ts'
import { type Context, Refusal, take } from './context.ts'
import { shown } from './problem.ts'
import { child, type Field } from './tree.ts'

/** `bandwidth: { ingress: 10mbit, egress: 1gbit }`; nothing where neither is written. */
export function normalizeBandwidth(
  context: Context,
  field: Field | null,
): { readonly bandwidth?: Bandwidth } {
  const bits = (side: string) =>
    take<number | null>(context, child(field, side), { parse: parseRate, fallback: null })
  const [ingressBits, egressBits] = [bits('ingress'), bits('egress')]
  return ingressBits === null && egressBits === null
    ? {}
    : { bandwidth: { ingressBits, egressBits } }
}

const UNITS: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 }

/** Bits a second, as tc(8) has them: `500kbit`, `2.5gbit`. */
export function parseRate(text: string): number {
  const [, number = '', unit = ''] = /^(\d{1,9}(?:\.\d{1,3})?)([kmg])bit$/i.exec(text) ?? []
  const bits = Math.round(Number(number) * (UNITS[unit.toLowerCase()] ?? Number.NaN))
  if (number !== '' && bits >= 8_000 && bits <= 4e11) return bits
  throw new Refusal(`expected a rate such as \`10mbit\`, 8kbit to 400gbit, got ${shown(text)}`)
}
