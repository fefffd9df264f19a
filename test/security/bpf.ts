import type { Instruction } from '../../src/security/seccomp/bpf.ts'

/** `struct seccomp_data` in the kernel's byte order. */
export function seccompData(call: {
  readonly arch: number
  readonly number: number
  readonly args?: readonly bigint[]
}): Buffer {
  const data = Buffer.alloc(64)
  data.writeUInt32LE(call.number, 0)
  data.writeUInt32LE(call.arch, 4)
  for (const [index, value] of (call.args ?? []).entries())
    data.writeBigUInt64LE(value, 16 + 8 * index)
  return data
}

/** Runs a filter as the kernel does (net/core/filter.c), and refuses what the kernel's checker would. */
export function runFilter(program: readonly Instruction[], data: Buffer): number {
  let accumulator = 0
  for (let at = 0; ; at += 1) {
    const step = program[at]
    if (step === undefined) throw new Error(`jump past the end, to ${at} of ${program.length}`)
    const { code, jt, jf, k } = step
    if (jt > 255 || jf > 255 || jt < 0 || jf < 0) throw new Error(`jump too far at ${at}`)
    if (code === 0x06) return k
    if (code === 0x20) accumulator = data.readUInt32LE(k)
    else if (code === 0x05) at += k
    else if (code === 0x15) at += accumulator === k ? jt : jf
    else if (code === 0x35) at += accumulator >= k ? jt : jf
    else if (code === 0x45) at += (accumulator & k) !== 0 ? jt : jf
    else throw new Error(`unknown instruction ${code.toString(16)} at ${at}`)
  }
}
