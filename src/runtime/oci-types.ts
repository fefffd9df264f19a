import type { OciSeccomp } from '../security/seccomp/oci.ts'

/** The part of the OCI runtime specification (config.md, config-linux.md) that pak writes. */
export interface OciSpec {
  readonly ociVersion: string
  readonly process: OciProcess
  readonly root: { readonly path: string; readonly readonly: boolean }
  readonly hostname?: string
  readonly mounts: readonly OciMount[]
  readonly linux: OciLinux
  readonly annotations: Readonly<Record<string, string>>
}

export interface OciProcess {
  readonly terminal: boolean
  readonly user: OciUser
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly capabilities: OciCapabilities
  readonly rlimits: readonly OciRlimit[]
  readonly noNewPrivileges: boolean
  readonly oomScoreAdj?: number
  readonly apparmorProfile?: string
}

export interface OciUser {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
}

export interface OciCapabilities {
  readonly bounding: readonly string[]
  readonly effective: readonly string[]
  readonly permitted: readonly string[]
}

export interface OciRlimit {
  /** `RLIMIT_NOFILE` and so on. */
  readonly type: string
  readonly soft: number
  readonly hard: number
}

export interface OciMount {
  readonly destination: string
  readonly type: string
  readonly source: string
  readonly options: readonly string[]
}

export interface OciLinux {
  readonly namespaces: readonly OciNamespace[]
  readonly cgroupsPath: string
  readonly resources: OciResources
  readonly devices: readonly OciDevice[]
  readonly sysctl: Readonly<Record<string, string>>
  readonly maskedPaths: readonly string[]
  readonly readonlyPaths: readonly string[]
  readonly rootfsPropagation?: string
  readonly seccomp?: OciSeccomp
}

export interface OciNamespace {
  readonly type: 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'cgroup'
  readonly path?: string
}

export interface OciResources {
  readonly devices?: readonly OciDeviceRule[]
  readonly memory?: { readonly limit?: number; readonly swap?: number }
  readonly cpu?: {
    readonly quota?: number
    readonly period?: number
    readonly shares?: number
    readonly cpus?: string
  }
  readonly pids?: { readonly limit: number }
  readonly unified?: Readonly<Record<string, string>>
}

export interface OciDevice {
  readonly type: 'c' | 'b' | 'p'
  readonly path: string
  readonly major: number
  readonly minor: number
  readonly fileMode: number
  readonly uid: number
  readonly gid: number
}

export interface OciDeviceRule {
  readonly allow: boolean
  readonly type?: 'a' | 'c' | 'b'
  readonly major?: number
  readonly minor?: number
  readonly access: string
}
