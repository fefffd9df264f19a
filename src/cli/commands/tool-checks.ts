import { PakError } from '../../errors.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { packageOf } from '../../kernel/packages.ts'
import type { Check } from './doctor.ts'

interface Tool {
  readonly file: string
  readonly versionArgs: readonly string[]
  readonly detail: string
  /** Without it only something fails. */
  readonly optional?: true
}

const TOOLS: readonly Tool[] = [
  { file: 'crun', versionArgs: ['--version'], detail: 'starts containers' },
  {
    file: 'runc',
    versionArgs: ['--version'],
    detail: 'the other OCI runtime, for --runtime runc',
    optional: true,
  },
  {
    file: 'conmon',
    versionArgs: ['--version'],
    detail: 'holds containers, their logs and exit codes',
  },
  { file: 'ip', versionArgs: ['-V'], detail: 'bridges, addresses, routes' },
  { file: 'nft', versionArgs: ['--version'], detail: 'published ports, masquerading, isolation' },
  { file: 'mount', versionArgs: ['--version'], detail: 'overlay roots' },
  { file: 'unshare', versionArgs: ['--version'], detail: "the agent's mount namespace" },
  { file: 'nsenter', versionArgs: ['--version'], detail: "addresses in a container's network" },
  {
    file: 'conntrack',
    versionArgs: ['--version'],
    detail: 'UDP clients of a replica that goes move to another one at once',
    optional: true,
  },
  {
    file: 'zstd',
    versionArgs: ['--version'],
    detail: 'images with layers packed by zstd',
    optional: true,
  },
  {
    file: 'catatonit',
    versionArgs: ['--version'],
    detail: 'containers with init: true',
    optional: true,
  },
]

/** Each host tool that pak runs, with its version. */
export async function toolChecks(kernel: Kernel): Promise<readonly Check[]> {
  return Promise.all(TOOLS.map((tool) => toolCheck(kernel, tool)))
}

async function toolCheck(kernel: Kernel, tool: Tool): Promise<Check> {
  const { file, detail } = tool
  const found = await toolVersion(kernel, tool)
  const absent = tool.optional === true ? 'limited' : 'missing'
  return {
    name: file,
    kind: 'tool',
    status: found === null ? absent : 'ok',
    found,
    detail,
    package: found === null ? packageOf(file) : null,
  }
}

async function toolVersion(kernel: Kernel, { file, versionArgs }: Tool): Promise<string | null> {
  try {
    const { stdout, stderr } = await kernel.run(file, versionArgs, { timeoutMs: 5_000 })
    const text = `${stdout}\n${stderr}`
    return /(?<=iproute2-)[\w.]+|\d+\.\d+(?:\.\d+)*/.exec(text)?.[0] ?? 'unknown version'
  } catch (error) {
    if (error instanceof PakError) return null
    throw error
  }
}
