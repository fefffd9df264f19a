import { type ArgRule, defaultProfile } from './profile.ts'
import { callTables } from './tables.ts'

/** `linux.seccomp` of the OCI runtime specification. */
export interface OciSeccomp {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly architectures: readonly string[]
  readonly flags?: readonly string[]
  readonly syscalls: readonly OciSyscall[]
}

export interface OciSyscall {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly OciSyscallArg[]
}

export interface OciSyscallArg {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

const ALLOW = 'SCMP_ACT_ALLOW'
const ERRNO = 'SCMP_ACT_ERRNO'
const EPERM = 1
const ENOSYS = 38
/** AF_MAX of Linux 6: what `noneOf` is spelled out over, as JSON profiles only know allowed values. */
const VALUES = 46

/**
 * The default profile as JSON, for runtimes that take no BPF. One architecture only where `nativeOnly`:
 * each further one costs milliseconds for every container.
 */
export function defaultOciSeccomp(
  architecture: string,
  capabilities: readonly string[],
  { nativeOnly }: { readonly nativeOnly: boolean },
): OciSeccomp {
  const profile = defaultProfile(capabilities)
  const tables = callTables(architecture).slice(0, nativeOnly ? 1 : undefined)
  const known = new Set(tables.flatMap((table) => [...table.numbers.keys()]))
  const plain = profile.allowed.filter(
    (name) => known.has(name) && !Object.hasOwn(profile.conditional, name),
  )
  return {
    defaultAction: ERRNO,
    defaultErrnoRet: EPERM,
    architectures: tables.map((table) => table.ociName),
    syscalls: [
      { names: plain, action: ALLOW },
      ...Object.entries(profile.conditional).flatMap(([name, rule]) => conditions(name, rule)),
      ...(profile.absent.length === 0
        ? []
        : [{ names: profile.absent, action: ERRNO, errnoRet: ENOSYS }]),
    ],
  }
}

/** Masked comparisons throughout: the kernel takes these arguments as 32 bits. */
function conditions(name: string, rule: ArgRule): readonly OciSyscall[] {
  const allowWhen = (mask: number, valueTwo: number): OciSyscall => ({
    names: [name],
    action: ALLOW,
    args: [{ index: rule.index, value: mask, valueTwo, op: 'SCMP_CMP_MASKED_EQ' }],
  })
  if (rule.kind === 'clear') return [allowWhen(rule.bits, 0)]
  const values =
    rule.kind === 'oneOf'
      ? rule.values
      : Array.from({ length: VALUES }, (_, value) => value).filter((v) => !rule.values.includes(v))
  return values.map((value) => allowWhen(0xffffffff, value))
}
