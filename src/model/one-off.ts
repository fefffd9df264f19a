import type { ContainerSpec } from './desired.ts'

/** The label of what `pak run` makes; its value is the service whose settings it has. */
export const ONE_OFF = 'pak.oneoff'

/** A container that a user asked for once: no replica of anything, and no plain `up` touches it. */
export const isOneOff = ({ labels }: Pick<ContainerSpec, 'labels'>): boolean =>
  Object.hasOwn(labels, ONE_OFF)
