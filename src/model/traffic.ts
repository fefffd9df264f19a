import type { ContainerSpec } from './desired.ts'
import type { ContainerStatus } from './status.ts'

/** Whether new connections may go to a container: it runs, and its health check, if it has one, says so. */
export function takesTraffic({
  spec,
  status,
}: {
  readonly spec: Pick<ContainerSpec, 'healthcheck'>
  readonly status: ContainerStatus
}): boolean {
  if (status.state !== 'running') return false
  return spec.healthcheck === null || status.health === 'healthy'
}
