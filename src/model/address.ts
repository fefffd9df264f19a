/**
 * Where a step acts or a fact was seen: `project/shop`, `service/web` (all replicas), `service/web/1`
 * (one replica), `network/back`, `volume/data`. Every part has passed the manifest's name grammar.
 */
export type Address =
  | `project/${string}`
  | `service/${string}`
  | `network/${string}`
  | `volume/${string}`

export const projectAddress = (projectName: string): Address => `project/${projectName}`
export const serviceAddress = (serviceName: string): Address => `service/${serviceName}`
export const replicaAddress = (serviceName: string, replica: number): Address =>
  `service/${serviceName}/${replica}`
export const networkAddress = (networkName: string): Address => `network/${networkName}`
export const volumeAddress = (volumeName: string): Address => `volume/${volumeName}`
