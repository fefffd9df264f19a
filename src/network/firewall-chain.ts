import type { Chain } from './firewall-base.ts'

/** What is used of libnftables-json(5) of chains and rules; every key may be missing. */
export interface ChainObject {
  readonly chain?: {
    readonly name?: string
    readonly type?: string
    readonly hook?: string
    readonly prio?: number
    readonly policy?: string
  }
  readonly rule?: { readonly chain?: string; readonly comment?: string }
}

/** Whether a chain is there, hooked where it should be, with the rules that it should have, told by their comments. */
export function isWholeChain(
  objects: readonly ChainObject[],
  { name, hook, rules }: Chain,
): boolean {
  const found = objects.find(({ chain }) => chain?.name === name)?.chain
  const hooked =
    hook === null ||
    (found?.type === hook.type &&
      found.hook === hook.hook &&
      found.prio === hook.priority &&
      found.policy === 'accept')
  const comments = objects.flatMap(({ rule }) => (rule?.chain === name ? [rule.comment ?? ''] : []))
  return (
    found !== undefined &&
    hooked &&
    comments.join('\n') === rules.map(({ comment }) => comment).join('\n')
  )
}
