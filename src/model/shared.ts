/**
 * The project of what was made by hand, with `pak network create`: no file's, as no name of a project
 * begins so. It is kept, repaired and taken down like all others.
 */
export const SHARED = '_shared'

/** A network or volume by the project that has it. */
export interface Place {
  readonly owner: string
  readonly name: string
}

/**
 * What something of another project is called in a container's spec, where a project's own has its name
 * alone. No name has a slash.
 */
export const foreignName = ({ owner, name }: Place): string => `${owner}/${name}`

/** Where the thing is that a spec of this project calls so. */
export function placeOf(project: string, called: string): Place {
  const at = called.indexOf('/')
  return at < 0
    ? { owner: project, name: called }
    : { owner: called.slice(0, at), name: called.slice(at + 1) }
}

export const isForeign = (called: string): boolean => called.includes('/')

/** As a user calls it: by its name alone what was made by hand, too. */
export const calledBy = (called: string): string =>
  called.startsWith(`${SHARED}/`) ? called.slice(SHARED.length + 1) : called

/** A project's own before those of others, each by name. */
export function byNearness(a: string, b: string): number {
  if (isForeign(a) !== isForeign(b)) return isForeign(a) ? 1 : -1
  if (a === b) return 0
  return a < b ? -1 : 1
}
