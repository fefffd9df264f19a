import { PakError } from '../../errors.ts'
import { hostKernel } from '../../kernel/host.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Invocation } from '../grammar.ts'
import { kernelChecks } from './host-checks.ts'
import { type Installer, installerOf, packageFor } from './installer.ts'
import { toolChecks } from './tool-checks.ts'

/** One thing that pak needs of the host, or can use. */
export interface Check {
  readonly name: string
  readonly kind: 'host' | 'kernel' | 'tool'
  /** `missing`: pak cannot work; `limited`: something that a manifest may ask for will not. */
  readonly status: 'ok' | 'limited' | 'missing'
  /** What was found: a version, a list. */
  readonly found: string | null
  /** What it is for, or what lacks without it. */
  readonly detail: string
  /** This distribution's package that brings it. */
  readonly package: string | null
}

export interface Diagnosis {
  readonly checks: readonly Check[]
  /** The command that installs what is missing; null when nothing is, or pak knows no way. */
  readonly install: readonly string[] | null
}

/** Looks at the host; with `--install` it installs the packages that are missing, and looks again. */
export async function doctor({ flags, terminal, interrupts }: Invocation): Promise<Diagnosis> {
  const before = await diagnose(hostKernel)
  if (!flags.on('install') || before.install === null) return before
  terminal.warn(`running: ${before.install.join(' ')}`)
  await install(before.install, interrupts.signal)
  return diagnose(hostKernel)
}

/** Every check; changes nothing. */
export async function diagnose(kernel: Kernel): Promise<Diagnosis> {
  const installer = await installerOf(kernel)
  const checks = [...(await kernelChecks(kernel)), ...(await toolChecks(kernel))].map((check) => ({
    ...check,
    package: check.package === null ? null : packageFor(check.package, installer),
  }))
  return { checks, install: installCommand(checks, installer) }
}

function installCommand(
  checks: readonly Check[],
  installer: Installer | null,
): readonly string[] | null {
  const packages = checks.flatMap((check) =>
    check.status === 'ok' || check.package === null ? [] : [check.package],
  )
  if (installer === null || packages.length === 0) return null
  return [...installer.command, ...new Set(packages.sort())]
}

const INSTALL_TIMEOUT_MS = 10 * 60_000

async function install(command: readonly string[], signal: AbortSignal): Promise<void> {
  const [file = '', ...args] = command
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' }
  const options = { env, signal, timeoutMs: INSTALL_TIMEOUT_MS }
  if (file === 'apt-get') await hostKernel.run(file, ['update', '-q'], options)
  const { exitCode, stderr } = await hostKernel.run(file, args, options)
  if (exitCode === 0) return
  const reason = stderr.trim().split('\n').at(-1) ?? `exit status ${exitCode}`
  throw new PakError('host', `install with \`${file}\`: ${reason}`)
}
