import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { hostKernel } from '../../src/kernel/host.ts'

test('what a program leaves behind does not hold up its end, nor its output', async () => {
  const { exitCode, stdout } = await hostKernel.run('sh', ['-c', 'sleep 30 & echo hi; exit 3'])
  assert.is(exitCode, 3)
  assert.is(stdout, 'hi\n')
})

test('a program whose time is up ends, whoever still holds its output', async () => {
  const late = await hostKernel
    .run('sh', ['-c', 'sleep 30 & sleep 30'], { timeoutMs: 100 })
    .catch((error: unknown) => error)
  assert.instance(late, PakError)
  assert.is((late as PakError).code, 'timeout')
})

test('of a long output the beginning is kept', async () => {
  const { stdout } = await hostKernel.run('sh', ['-c', 'yes | head -c 2000000'], {
    mostOutputBytes: 1_000,
  })
  assert.is(stdout, 'y\n'.repeat(500))
})

test.run()
