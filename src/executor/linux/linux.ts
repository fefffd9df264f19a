import { randomBytes } from 'node:crypto'
import { watch } from 'node:fs'
import { imageStore } from '../../images/store.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { mountTmpfs, unmountAll } from '../../kernel/mount.ts'
import type { Op, StepOf } from '../../model/plan.ts'
import type { Health } from '../../model/status.ts'
import { detectCgroups, enterHostView } from '../../runtime/cgroups.ts'
import { ociRuntime } from '../../runtime/oci.ts'
import { securityHost } from '../../security/fragment.ts'
import type { Executor, RunContext } from '../executor.ts'
import { cautions } from './confinement.ts'
import { execInvocation } from './exec.ts'
import { firewallCautions } from './firewall.ts'
import { handlers } from './handlers.ts'
import type { LinuxHost } from './host.ts'
import { inspectProject } from './inspect.ts'
import { type Layout, layoutOf, type Roots } from './layout.ts'
import { weakLimits } from './limits.ts'
import { LogKeeper } from './logs.ts'
import { watchOom } from './oom.ts'
import { Others } from './others.ts'
import { preflight } from './preflight.ts'
import { silentLoggers } from './preflight-logging.ts'
import { projectProcesses } from './processes.ts'
import { RecordStore } from './records.ts'
import { Resolvers } from './resolvers.ts'
import { SeenTable } from './seen-table.ts'
import { startSentinel } from './sentinel.ts'
import { Soundness } from './soundness.ts'
import { projectUsage } from './usage.ts'

export interface LinuxOptions extends Roots {
  /** `crun`, `runc` or a path. */
  readonly runtime: string
  readonly kernel: Kernel
  /** Where pak's DNS listens on this host. */
  readonly dnsPort: number
  readonly healthOf: (containerId: string, startedAt: string) => Health
}

/** The private mounts and folders that containers need; safe to call again. Only for the agent's process. */
export async function prepareHost(kernel: Kernel, layout: Layout): Promise<void> {
  for (const folder of [layout.root, layout.projects, layout.runRoot, layout.ociRoot, layout.exits])
    await kernel.makeFolder(folder, 0o700)
  await Promise.all([enterHostView(kernel), mountTmpfs(kernel, layout.volatile)])
}

/** The inverse, when the last project is gone. What other programs put there stays. */
export async function releaseHost(kernel: Kernel, layout: Layout): Promise<void> {
  await unmountAll(kernel, [layout.volatile])
  await kernel.removeTree(layout.ociRoot, layout.exits, layout.volatile)
  await kernel.removeFolder(`${layout.runRoot}/containers`)
}

export async function linuxHost(options: LinuxOptions): Promise<LinuxHost> {
  const { kernel } = options
  const layout = layoutOf(options)
  const records = new RecordStore(kernel, layout)
  return {
    kernel,
    layout,
    records,
    logs: new LogKeeper(layout, records),
    oci: await ociRuntime(kernel, { name: options.runtime, root: layout.ociRoot }),
    cgroups: await detectCgroups(kernel),
    security: await securityHost(kernel, options.runtime),
    images: imageStore(layout.images, kernel),
    dnsPort: options.dnsPort,
    seenTable: new SeenTable(kernel, layout.table),
    others: new Others(kernel),
    soundness: new Soundness(),
    mountBaselines: new Map(),
    tunnels: new Map(),
    cni: { turns: new Map(), looks: new Map() },
    resolvers: new Resolvers(),
    now: () => new Date(),
    newId: () => randomBytes(32).toString('hex'),
    healthOf: options.healthOf,
  }
}

/** This machine as an executor. */
export function linuxExecutor(host: LinuxHost): Executor {
  return {
    name: 'linux',
    projects: () => host.records.projectNames(),
    inspect: (scope) => inspectProject(host, scope),
    preflight: (request) => preflight(host, request),
    cautions: async (request) => [
      ...(await cautions(host, request.steps)),
      ...(await firewallCautions(host, request.steps)),
      ...(await silentLoggers(host, request.steps)),
      ...weakLimits(host.cgroups, request.steps),
    ],
    run: <O extends Op>(op: O, steps: readonly StepOf<O>[], context: RunContext) =>
      handlers[op](host, steps, context),
    watch: (onChange) => watchHost(host, onChange),
    exec: (request) => execInvocation(host, request),
    usage: (request, signal) => projectUsage(host, request, signal),
    processes: (request, signal) => projectProcesses(host, request, signal),
  }
}

/** Monitors write one file per ended container into one folder: one inotify watch for all of them. */
function watchHost(host: LinuxHost, onChange: Parameters<Executor['watch']>[0]): Disposable {
  const exits = watch(host.layout.exits, (_event, file) => {
    const found = file === null ? null : host.records.find(file)
    if (found === null) return
    host.soundness.forget(found.record.id)
    onChange({
      project: found.project,
      cause: `container ${found.record.name} exited`,
      kind: 'status',
    })
  })
  const warn = (error: unknown) => process.emitWarning(`watch for OOM kills: ${String(error)}`)
  const oom = host.cgroups.version === 1 ? watchOom(host, warn) : null
  const sentinel = startSentinel(host, onChange, (error) =>
    process.emitWarning(`look for drift: ${String(error)}`),
  )
  return {
    [Symbol.dispose]() {
      exits.close()
      sentinel[Symbol.dispose]()
      host.logs[Symbol.dispose]()
      oom?.then((watching) => watching[Symbol.dispose](), warn)
    },
  }
}
