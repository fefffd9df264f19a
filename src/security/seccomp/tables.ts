import { PakError } from '../../errors.ts'
import { AARCH64_SYSCALLS } from './aarch64.ts'
import { I386_SYSCALLS } from './i386.ts'
import { X86_64_SYSCALLS } from './x86-64.ts'

/** A system call convention: what the kernel reports as `arch` in `struct seccomp_data`. */
export interface CallTable {
  /** AUDIT_ARCH_*, linux/audit.h. */
  readonly auditArch: number
  /** The OCI word for it. */
  readonly ociName: string
  readonly numbers: ReadonlyMap<string, number>
}

/**
 * The conventions that programs of a machine may use, the native one first. On x86_64 32-bit programs run
 * too (game servers still need it); 32-bit ARM programs do not: their calls have no table here.
 */
export function callTables(architecture: string): readonly CallTable[] {
  if (architecture === 'x64')
    return [
      { auditArch: 0xc000003e, ociName: 'SCMP_ARCH_X86_64', numbers: parse(X86_64_SYSCALLS) },
      { auditArch: 0x40000003, ociName: 'SCMP_ARCH_X86', numbers: parse(I386_SYSCALLS) },
    ]
  if (architecture === 'arm64')
    return [
      { auditArch: 0xc00000b7, ociName: 'SCMP_ARCH_AARCH64', numbers: parse(AARCH64_SYSCALLS) },
    ]
  throw new PakError(
    'host',
    `filter system calls: no table for the architecture \`${architecture}\``,
    {
      hint: 'seccomp=unconfined in security_opt runs without a filter',
    },
  )
}

function parse(text: string): ReadonlyMap<string, number> {
  let next = 0
  const numbers = new Map<string, number>()
  for (const token of text.trim().split(/\s+/)) {
    if (/^\d+$/.test(token)) next = Number(token)
    else numbers.set(token, next++)
  }
  return numbers
}
