import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostKernel } from '../../src/kernel/host.ts'
import type { Kernel } from '../../src/kernel/kernel.ts'
import { deleteByPattern } from '../../src/runtime/crun-delete.ts'

const idOf = (index: number): string => index.toString(16).padStart(64, '0')
const IDS = Array.from({ length: 150 }, (_, index) => idOf(index))
const RUNTIME = { path: '/usr/bin/crun', root: '/run/pak/oci', environment: {} }

/** A crun that deletes what its pattern matches, but for what is stuck. */
function machine(stuck: readonly string[] = []) {
  let there: readonly string[] = [...IDS, 'f'.repeat(64)]
  const patterns: string[] = []
  const run: Kernel['run'] = async (_file, args) => {
    const pattern = args.at(-1) ?? ''
    patterns.push(pattern)
    there = there.filter((id) => stuck.includes(id) || !new RegExp(pattern).test(id))
    return { exitCode: 0, stdout: '', stderr: '', piped: '' }
  }
  const kernel = { ...hostKernel, run, list: async () => there }
  return { kernel, patterns, there: () => there }
}

test('many go with few programs, and nobody else goes', async () => {
  const { kernel, patterns, there } = machine()
  assert.is(await deleteByPattern(kernel, RUNTIME, IDS), true)
  assert.equal(there(), ['f'.repeat(64)])
  assert.is(patterns.length, 3)
})

test('what is left behind is told, as crun ends with 0 all the same', async () => {
  const { kernel } = machine([idOf(7)])
  assert.is(await deleteByPattern(kernel, RUNTIME, IDS), false)
})

test('no other runtime is asked, nor is anything a pattern that pak has not made', async () => {
  const { kernel, patterns } = machine()
  assert.is(await deleteByPattern(kernel, { ...RUNTIME, path: '/usr/sbin/runc' }, IDS), null)
  assert.is(await deleteByPattern(kernel, RUNTIME, [...IDS, '.*']), null)
  assert.equal(patterns, [])
})

test.run()
