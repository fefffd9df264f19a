import { spawnSync } from 'node:child_process'
import { hostKernel } from '../../src/kernel/host.ts'
import { enterHostView } from '../../src/runtime/cgroups.ts'

const MARK = 'PAK_TEST_PRIVATE_MOUNTS'

/**
 * Run the calling test file in a mount namespace of its own, as the agent runs, in which a hybrid host shows
 * its v1 cgroups only. True in there: register the tests. False outside: the file has run inside, and this
 * process ends with its status. The namespace goes with its last process, so nothing is left.
 */
export async function inPrivateMounts(file: string): Promise<boolean> {
  if (process.env[MARK] === '1') {
    await enterHostView(hostKernel)
    return true
  }
  const node = [process.execPath, ...process.execArgv, file]
  const { status } = spawnSync('unshare', ['--mount', '--propagation', 'slave', '--', ...node], {
    env: { ...process.env, [MARK]: '1' },
    stdio: 'inherit',
  })
  process.exitCode = status ?? 1
  return false
}
