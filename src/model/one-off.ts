import type { ContainerSpec } from './desired.ts'

/** The label of what `pak run` makes; its value is the service whose settings it has. */
export const ONE_OFF = 'pak.oneoff'

/** A container that a user asked for once: no replica of anything, and no plain `up` touches it. */
/** The service under whose policies a container is: its own, or the one it was made like. */
export const policedAs = (service: string, { labels }: Pick<ContainerSpec, 'labels'>): string =>
  (Object.hasOwn(labels, ONE_OFF) ? labels[ONE_OFF] : undefined) ?? service

export const isOneOff = ({ labels }: Pick<ContainerSpec, 'labels'>): boolean =>
  Object.hasOwn(labels, ONE_OFF)
