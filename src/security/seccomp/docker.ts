import { PakError } from '../../errors.ts'
import type { OciSeccomp, OciSyscall, OciSyscallArg } from './oci.ts'
import { callTables } from './tables.ts'

interface ProfileHost {
  /** Node's word: `x64`, `arm64`. */
  readonly architecture: string
  /** The container's, `CAP_` names. */
  readonly capabilities: readonly string[]
}

type Json = Readonly<Record<string, unknown>>

const ACTION = /^SCMP_ACT_(ALLOW|ERRNO|KILL|KILL_PROCESS|KILL_THREAD|LOG|TRAP|TRACE)$/
const OPERATOR = /^SCMP_CMP_(NE|LT|LE|EQ|GE|GT|MASKED_EQ)$/
const MAX_BYTES = 1024 * 1024
/** Docker's words for the machines pak knows. */
const DOCKER_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/**
 * A user's seccomp profile in Docker's JSON form (the OCI form is a part of it) as `linux.seccomp`:
 * `includes` and `excludes` are settled for this architecture and these capabilities. PakError
 * `manifest` says what is wrong with it.
 */
export function ociProfile(text: string, host: ProfileHost): OciSeccomp {
  const profile = parse(text)
  const defaultAction = word(profile['defaultAction'], ACTION, 'defaultAction')
  const rules = list(profile['syscalls'] ?? [], 'syscalls').map((rule) => object(rule, 'syscalls'))
  const defaultErrno = profile['defaultErrnoRet']
  return {
    defaultAction,
    ...(defaultErrno === undefined
      ? {}
      : { defaultErrnoRet: whole(defaultErrno, 'defaultErrnoRet') }),
    architectures: architecturesOf(profile, host),
    syscalls: rules.filter((rule) => applies(rule, host)).map(syscall),
  }
}

function parse(text: string): Json {
  if (Buffer.byteLength(text) > MAX_BYTES) throw wrong('it has more than 1 MiB')
  try {
    return object(JSON.parse(text), 'profile')
  } catch (error) {
    throw error instanceof SyntaxError ? wrong(`it is no JSON: ${error.message}`) : error
  }
}

/** Its own list where it has one, else Docker's map from an architecture to those it can run. */
function architecturesOf(profile: Json, { architecture }: ProfileHost): readonly string[] {
  const own = profile['architectures']
  if (own !== undefined) return strings(own, 'architectures')
  const native = callTables(architecture)[0]?.ociName
  const entry = list(profile['archMap'] ?? [], 'archMap')
    .map((item) => object(item, 'archMap'))
    .find((item) => item['architecture'] === native)
  if (entry === undefined) return native === undefined ? [] : [native]
  return [
    ...(native === undefined ? [] : [native]),
    ...strings(entry['subArchitectures'] ?? [], 'archMap'),
  ]
}

function applies(rule: Json, { architecture, capabilities }: ProfileHost): boolean {
  const includes = object(rule['includes'] ?? {}, 'includes')
  const excludes = object(rule['excludes'] ?? {}, 'excludes')
  const arch = DOCKER_ARCH[architecture] ?? architecture
  const archs = strings(includes['arches'] ?? [], 'includes')
  const has = (name: string) => capabilities.includes(name)
  return (
    (archs.length === 0 || archs.includes(arch)) &&
    strings(includes['caps'] ?? [], 'includes').every(has) &&
    !strings(excludes['arches'] ?? [], 'excludes').includes(arch) &&
    !strings(excludes['caps'] ?? [], 'excludes').some(has)
  )
}

function syscall(rule: Json): OciSyscall {
  const names = strings(rule['names'] ?? [rule['name']], 'syscalls.names')
  const args = list(rule['args'] ?? [], 'syscalls.args').map((arg) => argument(object(arg, 'args')))
  const errno = rule['errnoRet']
  return {
    names,
    action: word(rule['action'], ACTION, 'syscalls.action'),
    ...(errno === undefined || errno === null ? {} : { errnoRet: whole(errno, 'errnoRet') }),
    ...(args.length === 0 ? {} : { args }),
  }
}

function argument(arg: Json): OciSyscallArg {
  return {
    index: whole(arg['index'], 'args.index'),
    value: whole(arg['value'], 'args.value'),
    valueTwo: whole(arg['valueTwo'] ?? 0, 'args.valueTwo'),
    op: word(arg['op'], OPERATOR, 'args.op'),
  }
}

function object(value: unknown, where: string): Json {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw wrong(`${where} is no object`)
  return value as Json
}

function list(value: unknown, where: string): readonly unknown[] {
  if (value === null) return []
  if (!Array.isArray(value)) throw wrong(`${where} is no list`)
  return value
}

function strings(value: unknown, where: string): readonly string[] {
  return list(value, where).map((item) => {
    if (typeof item !== 'string') throw wrong(`${where} holds something else than names`)
    return item
  })
}

function word(value: unknown, grammar: RegExp, where: string): string {
  if (typeof value !== 'string' || !grammar.test(value))
    throw wrong(`${where} has the unknown value ${JSON.stringify(value)}`)
  return value
}

function whole(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    throw wrong(`${where} is no whole number`)
  return value
}

const wrong = (reason: string): PakError =>
  new PakError('manifest', `read seccomp profile: ${reason}`)
