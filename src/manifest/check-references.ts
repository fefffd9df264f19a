import { type Check, namedPart, partOf, reportAt } from './check.ts'
import { nearest } from './nearest.ts'
import { DEFAULT_NETWORK } from './networks.ts'
import type { ServiceDraft } from './normalize.ts'
import { child, itemsOf, textOf } from './tree.ts'

/** Every name that a service says must be declared somewhere. */
export function checkReferences(check: Check): void {
  const known = namesOf(check)
  for (const draft of check.draft.services) {
    checkServices(check, draft, known)
    checkNetworks(check, draft, known)
    checkVolumes(check, draft, known)
  }
}

interface Names {
  readonly services: ReadonlySet<string>
  readonly enabled: ReadonlySet<string>
  readonly networks: ReadonlySet<string>
  readonly volumes: ReadonlySet<string>
}

function namesOf({ draft, enabled }: Check): Names {
  return {
    services: new Set(draft.services.map(({ service }) => service.name)),
    enabled: new Set(enabled.map(({ service }) => service.name)),
    networks: new Set([
      DEFAULT_NETWORK,
      ...[...draft.networks, ...draft.externals].map(({ value }) => value.name),
    ]),
    volumes: new Set(draft.volumes.map(({ value }) => value.name)),
  }
}

function checkServices(check: Check, { service, field }: ServiceDraft, known: Names): void {
  for (const { service: other, required } of service.dependsOn) {
    const at = dependencyField({ service, field, profiles: [] }, other)
    if (!known.services.has(other)) {
      if (required)
        reportAt(
          check.problems,
          at,
          `there is no service \`${other}\``,
          nearest(other, [...known.services]),
        )
    } else if (required && known.enabled.has(service.name) && !known.enabled.has(other)) {
      const hint = 'switch its profile on, or say `required: false`'
      reportAt(check.problems, at, `service \`${other}\` is switched off by its profiles`, hint)
    }
  }
}

/** Where a dependency is written: in `depends_on`, else where a namespace is shared. */
export function dependencyField(
  { field }: ServiceDraft,
  other: string,
): ReturnType<typeof namedPart> {
  const written = namedPart(field, 'depends_on', other)
  if (written !== field && written.path.length > field.path.length + 1) return written
  const shared = ['network_mode', 'pid', 'ipc'].find(
    (key) => textOf(child(field, key)) === `service:${other}`,
  )
  return shared === undefined ? written : partOf(field, shared)
}

function checkNetworks(check: Check, { service, field }: ServiceDraft, known: Names): void {
  for (const { network } of service.container.networks) {
    if (known.networks.has(network)) continue
    const hint =
      nearest(network, [...known.networks]) ?? 'declare it at the top level, under `networks`'
    reportAt(
      check.problems,
      namedPart(field, 'networks', network),
      `there is no network \`${network}\``,
      hint,
    )
  }
}

function checkVolumes(check: Check, { service, field }: ServiceDraft, known: Names): void {
  for (const mount of service.container.mounts) {
    if (mount.kind !== 'volume' || mount.volume === null || known.volumes.has(mount.volume))
      continue
    const name = mount.volume
    const at = itemsOf(child(field, 'volumes')).find(
      (item) =>
        (textOf(item) ?? '').startsWith(`${name}:`) || textOf(child(item, 'source')) === name,
    )
    const hint = nearest(name, [...known.volumes]) ?? 'declare it at the top level, under `volumes`'
    reportAt(check.problems, at ?? partOf(field, 'volumes'), `there is no volume \`${name}\``, hint)
  }
}
