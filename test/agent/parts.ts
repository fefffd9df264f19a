import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AgentParts, Roots } from '../../src/agent/parts.ts'
import type { UpOptions } from '../../src/agent/wire.ts'
import { PakError } from '../../src/errors.ts'
import { type MemoryExecutor, memoryExecutor } from '../../src/executor/memory/memory.ts'
import type { ContainerSpec, DesiredState, Service } from '../../src/model/desired.ts'
import { NO_LIMITS } from '../../src/model/limits.ts'
import { PLAIN, plainService } from '../support/spec.ts'

/** All that an agent is joined with, on a host in memory. */
export function memoryParts(
  executor: MemoryExecutor = memoryExecutor(),
  overrides: Partial<AgentParts> = {},
): AgentParts {
  return {
    executor,
    settle: async () => [],
    probe: async () => ({ exitCode: 0, output: '' }),
    oneOffs: {
      launch: async () => {
        throw new PakError('host', 'run: a host in memory has no processes')
      },
      end: async () => {},
    },
    files: { read: async () => {}, write: async () => {} },
    volumes: { list: async () => [], create: async () => {}, remove: async () => {} },
    images: {
      list: async () => [],
      load: async () => [],
      import: async () => {
        throw new Error('no images here')
      },
      remove: async () => {},
    },
    releaseHost: async () => {},
    publicKey: async () => '',
    startDns: null,
    ...overrides,
  }
}

/** Roots of one test, removed with whatever is in them. */
export async function testRoots(): Promise<Roots & AsyncDisposable> {
  const base = await mkdtemp(join(tmpdir(), 'pakt-agent-'))
  return {
    root: join(base, 'root'),
    runRoot: join(base, 'run'),
    runtime: 'crun',
    [Symbol.asyncDispose]: () => rm(base, { recursive: true, force: true }),
  }
}

export const UP: UpOptions = {
  services: null,
  noDeps: false,
  forceRecreate: false,
  removeOrphans: false,
  timeoutMs: null,
  waitTimeoutMs: 10_000,
  origin: null,
  detached: false,
}

export const DOWN = { removeVolumes: false, removeOrphans: false, graceMs: null, detached: false }

export function project(name: string, services: readonly string[]): DesiredState {
  return {
    project: name,
    limits: NO_LIMITS,
    services: services.map((service) => serviceOf(service)),
    networks: [],
    volumes: [],
  }
}

export const serviceOf = (name: string, overrides: Partial<Service> = {}): Service =>
  plainService(name, SPEC, overrides)

export const SPEC: ContainerSpec = {
  ...PLAIN,
  source: { kind: 'rootfs', path: '/' },
  command: ['sleep', '1000'],
  readOnly: true,
}
