import type { ImageStore } from '../../images/store.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Health } from '../../model/status.ts'
import type { CgroupHost } from '../../runtime/cgroups.ts'
import type { OciRuntime } from '../../runtime/oci.ts'
import type { SecurityHost } from '../../security/fragment.ts'
import type { CniState } from './cni-state.ts'
import type { Layout } from './layout.ts'
import type { LogKeeper } from './logs.ts'
import type { MountBaseline } from './lost-mounts.ts'
import type { Others } from './others.ts'
import type { RecordStore } from './records.ts'
import type { Resolvers } from './resolvers.ts'
import type { SeenTable } from './seen-table.ts'
import type { Soundness } from './soundness.ts'

/** What every handler of this executor works with: one door to the kernel, one memory, one clock. */
export interface LinuxHost {
  readonly kernel: Kernel
  readonly layout: Layout
  readonly records: RecordStore
  readonly logs: LogKeeper
  readonly oci: OciRuntime
  readonly images: ImageStore
  readonly cgroups: CgroupHost
  /** What this host lets pak do, read once. */
  readonly security: SecurityHost
  /** Where pak's DNS listens on this host. */
  readonly dnsPort: number
  readonly seenTable: SeenTable
  /** Chains of other programs at the hooks that containers' packets go through. */
  readonly others: Others
  readonly soundness: Soundness
  /** By container id; forgotten with the agent. */
  readonly mountBaselines: Map<string, MountBaseline>
  /** Device -> what of its database is not as pak wrote it, when it was last looked at. */
  readonly tunnels: Map<string, string>
  readonly cni: CniState
  /** Name servers inside of containers. */
  readonly resolvers: Resolvers
  readonly now: () => Date
  /** 64 hexadecimal digits, never the same twice. */
  readonly newId: () => string
  /** What the health loop knows of one run of a container; `null` until it has looked. */
  readonly healthOf: (containerId: string, startedAt: string) => Health
}
