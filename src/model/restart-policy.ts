import type { RestartPolicy } from './desired.ts'

/** Whether a policy wants a container again whose run ended by itself; `restartCount`: how often it had that already. */
export function wantsRestart(
  policy: RestartPolicy,
  { exitCode, restartCount }: { readonly exitCode: number; readonly restartCount: number },
): boolean {
  switch (policy.name) {
    case 'no':
      return false
    case 'always':
    case 'unless-stopped':
      return true
    case 'on-failure':
      return exitCode !== 0 && (policy.maxRetries === null || restartCount < policy.maxRetries)
  }
}
