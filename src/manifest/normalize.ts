import type { DriftMode, EndpointMode, Network, Service, Volume } from '../model/desired.ts'
import type { Limits } from '../model/limits.ts'
import { normalizeContainer } from './container.ts'
import { type Context, compare, take, takeEach } from './context.ts'
import { normalizeDependencies } from './dependencies.ts'
import { type EnvFiles, normalizeLabels, readEnvFiles } from './environment.ts'
import { type External, isExternal, type Kind, normalizeExternal, refuseName } from './external.ts'
import { agreed, normalizeLimits } from './limits.ts'
import { parseName } from './names.ts'
import { normalizeNetwork } from './networks.ts'
import { normalizePolicies } from './policies.ts'
import { parseInteger } from './quantities.ts'
import { child, entriesOf, type Field, textOf } from './tree.ts'
import { normalizeUpdate } from './update.ts'

/** The whole file in the model's words, with the way back to where each part was written. */
export interface Draft {
  readonly root: Field
  readonly limits: Limits
  readonly drift: DriftMode
  readonly services: readonly ServiceDraft[]
  readonly networks: readonly Declared<Network>[]
  /** Networks that are there already. */
  readonly externals: readonly Declared<External>[]
  readonly volumes: readonly Declared<Volume>[]
  /** The same for volumes. */
  readonly externalVolumes: readonly Declared<External>[]
}

export interface ServiceDraft {
  readonly service: Service
  readonly profiles: readonly string[]
  /** Machines that it runs on; none: on all. */
  readonly hosts: readonly string[]
  readonly field: Field
}

export interface Declared<T> {
  readonly value: T
  readonly field: Field
}

/** Read what the schema has let through. What is refused on the way is reported; the draft is whole anyway. */
export async function normalizeManifest(context: Context, root: Field): Promise<Draft> {
  const fields = serviceFields(root)
  const files = await readEnvFiles(
    context,
    fields.map(([, field]) => field),
  )
  return {
    root,
    limits: normalizeLimits(context, child(root, 'limits')),
    drift: driftMode(root) ?? 'repair',
    services: fields.map(([name, field]) => normalizeService(context, { name, field, files })),
    ...normalizeNetworks(context, root),
    ...normalizeVolumes(context, root),
  }
}

/** What is declared in a section, the project's own and others'. */
function sorted(context: Context, root: Field, kind: Kind) {
  const all = declared(root, `${kind}s`, (name) => name)
  const ours = all.filter(({ field }) => !isExternal(field))
  for (const { field } of ours) refuseName(context, kind, field)
  const others = all.filter(({ field }) => isExternal(field))
  return {
    ours,
    others: others.map(({ value: name, field }) => ({
      value: normalizeExternal(context, kind, { name, field }),
      field,
    })),
  }
}

function normalizeVolumes(
  context: Context,
  root: Field,
): Pick<Draft, 'volumes' | 'externalVolumes'> {
  const { ours, others } = sorted(context, root, 'volume')
  return {
    volumes: ours.map(({ value: name, field }) => ({
      value: { name, labels: normalizeLabels(context, child(field, 'labels')) },
      field,
    })),
    externalVolumes: others,
  }
}

function normalizeNetworks(context: Context, root: Field): Pick<Draft, 'networks' | 'externals'> {
  const { ours, others } = sorted(context, root, 'network')
  return {
    networks: ours.map(({ value: name, field }) => ({
      value: normalizeNetwork(context, name, field),
      field,
    })),
    externals: others,
  }
}

/** Both words mean the same; that only one of them is used is checked elsewhere. */
export function serviceFields(root: Field): readonly (readonly [string, Field])[] {
  return [...entriesOf(child(root, 'containers')), ...entriesOf(child(root, 'services'))].sort(
    ([a], [b]) => compare(a, b),
  )
}

function normalizeService(
  context: Context,
  { name, field, files }: { name: string; field: Field; files: EnvFiles },
): ServiceDraft {
  const container = normalizeContainer(context, field, files)
  const replicas = [
    child(field, 'replicas'),
    child(field, 'scale'),
    child(child(field, 'deploy'), 'replicas'),
  ]
  const policies = normalizePolicies(context, child(field, 'policies'))
  const update = normalizeUpdate(context, field)
  const service: Service = {
    name,
    replicas: agreed(context, replicas, parseReplicas) ?? 1,
    containerName: take<string | null>(context, child(field, 'container_name'), {
      parse: parseName,
      fallback: null,
    }),
    endpointMode: normalizeEndpointMode(context, field),
    affinity: textOf(child(field, 'session_affinity')) === 'client_ip' ? 'client_ip' : 'none',
    drift: driftMode(field),
    ...(policies === null ? {} : { policies }),
    ...(update === null ? {} : { update }),
    dependsOn: normalizeDependencies(context, child(field, 'depends_on'), container),
    container,
  }
  return {
    service,
    profiles: takeEach(context, child(field, 'profiles'), parseName),
    hosts: takeEach(context, child(field, 'hosts'), parseName),
    field,
  }
}

/** The schema lets two words through. */
function normalizeEndpointMode(context: Context, field: Field): EndpointMode | null {
  const written = [child(field, 'endpoint_mode'), child(child(field, 'deploy'), 'endpoint_mode')]
  return agreed<EndpointMode>(context, written, (text) => (text === 'vip' ? 'vip' : 'dnsrr'))
}

/** The schema lets three words through. */
function driftMode(field: Field): DriftMode | null {
  const text = textOf(child(field, 'drift'))
  return text === 'repair' || text === 'report' || text === 'off' ? text : null
}

const parseReplicas = parseInteger({ what: 'number of replicas', least: 0, most: 10_000 })

function declared<T>(
  root: Field,
  section: string,
  normalize: (name: string, field: Field) => T,
): readonly Declared<T>[] {
  return entriesOf(child(root, section))
    .map(([name, field]) => ({ value: normalize(name, field), field }))
    .sort((a, b) => compare(String(a.field.path.at(-1)), String(b.field.path.at(-1))))
}
