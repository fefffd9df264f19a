/** One classic BPF instruction, `struct sock_filter` of linux/filter.h. */
export interface Instruction {
  readonly code: number
  /** Instructions to skip when the comparison holds, and when not; 0 to 255. */
  readonly jt: number
  readonly jf: number
  readonly k: number
}

/** SECCOMP_RET_*, linux/seccomp.h. */
export const RETURN_ALLOW = 0x7fff0000
export const returnErrno = (errno: number): number => 0x00050000 | errno

const LD_W_ABS = 0x20
const JMP_JA = 0x05
const JMP_JEQ_K = 0x15
const JMP_JGE_K = 0x35
const JMP_JSET_K = 0x45
const RET_K = 0x06

/** Load a 32-bit word of `struct seccomp_data` at a byte offset. */
export const load = (offset: number): Instruction => instruction(LD_W_ABS, offset)
export const ret = (value: number): Instruction => instruction(RET_K, value)

/** `if (A op k) yes else no`; blocks of any length, each of which must end in a return. */
export function branch(
  op: 'equal' | 'atLeast' | 'anyBit',
  k: number,
  { yes, no }: { readonly yes: readonly Instruction[]; readonly no: readonly Instruction[] },
): readonly Instruction[] {
  const code = { equal: JMP_JEQ_K, atLeast: JMP_JGE_K, anyBit: JMP_JSET_K }[op]
  // Conditional jumps reach 255 instructions; past that an unconditional one, which reaches all, takes over.
  if (no.length <= 255) return [instruction(code, k, no.length, 0), ...no, ...yes]
  return [instruction(code, k, 0, 1), instruction(JMP_JA, no.length), ...no, ...yes]
}

/** The kernel's byte form, 8 bytes an instruction, in the little-endian order of all machines pak knows. */
export function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(jt, index * 8 + 2)
    bytes.writeUInt8(jf, index * 8 + 3)
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4)
  }
  return bytes
}

const instruction = (code: number, k: number, jt = 0, jf = 0): Instruction => ({
  code,
  jt,
  jf,
  k: k >>> 0,
})
