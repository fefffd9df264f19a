import { PakError } from '../errors.ts'

/** A parsed image reference (distribution's reference grammar). Every part has passed it. */
export interface Reference {
  /** `registry/path`, the registry always written out. */
  readonly name: string
  /** `null` where a digest says it all. */
  readonly tag: string | null
  /** `sha256:<hex>`. */
  readonly digest: string | null
}

/** What a name without a registry means, by the convention that every engine shares. */
const DEFAULT_REGISTRY = 'docker.io'
const OFFICIAL_FOLDER = 'library/'
const NAME_LIMIT = 255

const REGISTRY =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?$/
const PATH = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^sha256:[a-f0-9]{64}$/

/** `nginx` is `docker.io/library/nginx:latest`; with tag and digest the digest wins. Throws `usage`. */
export function parseReference(text: string): Reference {
  const [beforeDigest = '', digest = null, ...rest] = text.split('@')
  if (rest.length > 0 || (digest !== null && !DIGEST.test(digest)))
    throw invalid(text, 'the digest is not sha256: and 64 hexadecimal digits')
  const colon = beforeDigest.indexOf(':', beforeDigest.lastIndexOf('/') + 1)
  const tag = colon < 0 ? null : beforeDigest.slice(colon + 1)
  if (tag !== null && !TAG.test(tag)) throw invalid(text, 'the tag has characters that no tag has')
  const name = fullName(colon < 0 ? beforeDigest : beforeDigest.slice(0, colon), text)
  return { name, tag: digest === null ? (tag ?? 'latest') : null, digest }
}

/** The one spelling of a reference. */
export const formatReference = ({ name, tag, digest }: Reference): string =>
  digest === null ? `${name}:${tag ?? 'latest'}` : `${name}@${digest}`

export const isDigest = (text: string): boolean => DIGEST.test(text)

function fullName(given: string, text: string): string {
  const slash = given.indexOf('/')
  const first = given.slice(0, Math.max(slash, 0))
  // The first part is a registry when it could not be a folder: that is the grammar's own rule.
  const hasRegistry = slash > 0 && (/[.:A-Z[]/.test(first) || first === 'localhost')
  const registry = hasRegistry && first !== 'index.docker.io' ? first : DEFAULT_REGISTRY
  const path = hasRegistry ? given.slice(slash + 1) : given
  const whole = registry === DEFAULT_REGISTRY && !path.includes('/') ? OFFICIAL_FOLDER + path : path
  if (!REGISTRY.test(registry) || !PATH.test(path))
    throw invalid(text, 'a name is lower case letters, digits, and . _ - / between them')
  if (registry.length + 1 + whole.length > NAME_LIMIT) throw invalid(text, 'the name is too long')
  return `${registry}/${whole}`
}

const invalid = (text: string, reason: string): PakError =>
  new PakError('usage', `image reference \`${text.slice(0, 300)}\`: ${reason}`)
