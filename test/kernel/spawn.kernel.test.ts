import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { PakError } from '../../src/errors.ts'
import { hostKernel } from '../../src/kernel/host.ts'

test('without a descriptor to spare a program is an error, and the process lives on', async () => {
  execFileSync('prlimit', ['--pid', String(process.pid), '--nofile=256:'])
  const taken: number[] = []
  assert.throws(() => {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  }, /EMFILE/)
  const refused = hostKernel.run('true', []).catch((error: unknown) => error)
  for (const fd of taken) closeSync(fd)
  const error = await refused
  assert.instance(error, PakError)
  assert.match((error as PakError).message, 'spawn `true`: too many open files')
  assert.is((await hostKernel.run('true', [])).exitCode, 0)
})

test.run()
