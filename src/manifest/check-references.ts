import { type Check, namedPart, partOf, reportAt } from './check.ts'
import { elsewhereIn } from './desired.ts'
import { nearest } from './nearest.ts'
import { DEFAULT_NETWORK } from './networks.ts'
import type { ServiceDraft } from './normalize.ts'
import { child, type Field, itemsOf, textOf } from './tree.ts'

/** Every name that a service says must be declared somewhere. */
export function checkReferences(check: Check): void {
  const known = namesOf(check)
  for (const draft of check.draft.services) {
    checkServices(check, draft, known)
    checkHosts(check, draft)
    checkNetworks(check, draft, known)
    checkVolumes(check, draft, known)
  }
}

interface Names {
  readonly services: ReadonlySet<string>
  readonly enabled: ReadonlySet<string>
  /** Service -> machines that it runs on, of which this is none. */
  readonly elsewhere: ReadonlyMap<string, readonly string[]>
  readonly networks: ReadonlySet<string>
  readonly volumes: ReadonlySet<string>
}

function namesOf({ draft, enabled }: Check): Names {
  return {
    services: new Set(draft.services.map(({ service }) => service.name)),
    enabled: new Set(enabled.map(({ service }) => service.name)),
    elsewhere: elsewhereIn(draft),
    networks: new Set([
      DEFAULT_NETWORK,
      ...[...draft.networks, ...draft.externals].map(({ value }) => value.name),
    ]),
    volumes: new Set([...draft.volumes, ...draft.externalVolumes].map(({ value }) => value.name)),
  }
}

/** Machines are named where networks list their peers. */
function checkHosts({ draft, problems }: Check, { hosts, field }: ServiceDraft): void {
  const peers = new Set(
    draft.networks.flatMap(({ value }) => value.overlay?.peers.map(({ name }) => name) ?? []),
  )
  for (const host of hosts) {
    if (peers.has(host)) continue
    const hint = peers.size === 0 ? 'it goes with a network of `driver: vxlan`' : null
    const at = namedPart(field, 'hosts', host)
    const near = hint ?? nearest(host, [...peers])
    reportAt(problems, at, `no network has a peer \`${host}\``, near)
  }
}

function checkServices(check: Check, { service, field }: ServiceDraft, known: Names): void {
  for (const { service: other, required } of service.dependsOn) {
    const at = dependencyField(field, other)
    if (!known.services.has(other)) {
      if (required)
        reportAt(
          check.problems,
          at,
          `there is no service \`${other}\``,
          nearest(other, [...known.services]),
        )
    } else if (required && known.enabled.has(service.name) && !known.enabled.has(other)) {
      const hosts = known.elsewhere.get(other)
      const [message, hint] =
        hosts === undefined
          ? ['is switched off by its profiles', 'switch its profile on, or say `required: false`']
          : [
              `runs on ${hosts.join(', ')} only`,
              'say `required: false`: only here it is waited for',
            ]
      reportAt(check.problems, at, `service \`${other}\` ${message}`, hint)
    }
  }
}

/** Where a dependency is written: in `depends_on`, else where a namespace is shared. */
export function dependencyField(field: Field, other: string): ReturnType<typeof namedPart> {
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
