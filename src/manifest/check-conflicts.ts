import type { NetworkMode } from '../model/desired.ts'
import { type Check, partOf, reportAt } from './check.ts'
import type { ServiceDraft } from './normalize.ts'
import { child } from './tree.ts'

/** Keys of one service that exclude each other, and names that two containers would share. */
export function checkConflicts(check: Check): void {
  for (const draft of check.draft.services) {
    checkCommand(check, draft)
    checkNetworkMode(check, draft)
    checkLender(check, draft)
    checkOrder(check, draft)
    checkNamespaces(check, draft)
    checkCapabilities(check, draft)
  }
  checkContainerNames(check)
}

function checkCommand({ problems }: Check, { service, field }: ServiceDraft): void {
  const { source, command, entrypoint } = service.container
  if (source.kind !== 'rootfs' || (command ?? []).length + (entrypoint ?? []).length > 0) return
  const said = ['command', 'entrypoint'].map((key) => [...field.path, key])
  if (said.some((path) => problems.covers(path) || problems.reachesInto(path))) return
  const hint = 'there is no image that could say what to run'
  reportAt(problems, partOf(field, 'rootfs'), 'a container on a `rootfs` needs a `command`', hint)
}

/** What each mode leaves no room for: the other side's files and addresses count. */
const EXCLUDED = {
  none: ['networks', 'ports'],
  host: ['networks', 'ports'],
  service: ['networks', 'ports', 'dns', 'dns_search', 'dns_opt', 'extra_hosts'],
  container: ['networks', 'ports', 'dns', 'dns_search', 'dns_opt', 'extra_hosts'],
  bridge: [],
} as const

function checkNetworkMode({ problems }: Check, { service, field }: ServiceDraft): void {
  const { networkMode } = service.container
  for (const key of EXCLUDED[networkMode.kind]) {
    const part = child(field, key)
    const written = modeText(networkMode)
    if (part !== null)
      problems.report({
        span: part.key,
        path: part.path,
        message: `\`${key}\` does not go with \`network_mode: ${written}\``,
      })
  }
  if (networkMode.kind !== 'bridge' || child(field, 'networks') === null) return
  if (service.container.networks.length === 0 && !problems.reachesInto([...field.path, 'networks']))
    reportAt(
      problems,
      partOf(field, 'networks'),
      'no network is named',
      'say `network_mode: none` for none',
    )
}

function modeText(mode: NetworkMode): string {
  if (mode.kind === 'container') return `container:${mode.container}`
  return mode.kind === 'service' ? `service:${mode.service}` : mode.kind
}

/** Nobody would wait for it, or follow it when it is made anew. */
function checkLender({ draft, project, problems }: Check, { service, field }: ServiceDraft): void {
  const { networkMode } = service.container
  if (networkMode.kind !== 'container') return
  const { container } = networkMode
  const owner = draft.services.find(({ service: { name, containerName } }) =>
    containerName === null
      ? container.startsWith(`${project}-${name}-`) &&
        /^[0-9]+$/.test(container.slice(project.length + name.length + 2))
      : containerName === container,
  )
  if (owner === undefined) return
  const { name } = owner.service
  const message = `\`${container}\` is a container of this project`
  reportAt(problems, partOf(field, 'network_mode'), message, `say \`service:${name}\``)
}

/** Two of it would listen on the same ports: none of them is the container's own. */
function checkOrder({ problems }: Check, { service, field }: ServiceDraft): void {
  const { kind } = service.container.networkMode
  if (service.update?.order !== 'start-first' || kind === 'bridge' || kind === 'none') return
  const deployed = child(child(field, 'deploy'), 'update_config')
  const at = child(field, 'update_config') ?? deployed ?? field
  const written = modeText(service.container.networkMode)
  const message = `\`start-first\` does not go with \`network_mode: ${written}\`: two of it would share its ports`
  reportAt(problems, partOf(at, 'order'), message, 'say `stop-first`')
}

/** A sysctl of a namespace that is not the container's own would change the host or a neighbour. */
function checkNamespaces({ problems }: Check, { service, field }: ServiceDraft): void {
  const { networkMode, ipcMode, utsMode, sysctls } = service.container
  for (const name of Object.keys(sysctls)) {
    const isNetwork = name.startsWith('net.')
    const shared = isNetwork
      ? ['host', 'service', 'container'].includes(networkMode.kind)
      : ipcMode !== null
    const key = isNetwork ? 'network_mode' : 'ipc'
    if (shared) {
      const message = `sysctl \`${name}\` does not go with \`${key}\`: it would change another's namespace`
      reportAt(problems, partOf(field, 'sysctls'), message)
    }
  }
  for (const key of ['hostname', 'domainname'])
    if (utsMode === 'host' && child(field, key) !== null)
      reportAt(problems, partOf(field, key), `\`${key}\` does not go with \`uts: host\``)
  if (ipcMode !== null && child(field, 'shm_size') !== null)
    reportAt(
      problems,
      partOf(field, 'shm_size'),
      "`shm_size` does not go with `ipc`: /dev/shm is another's",
    )
}

function checkCapabilities({ problems }: Check, { service, field }: ServiceDraft): void {
  const { capAdd, capDrop } = service.container
  const both = capAdd.find((capability) => capDrop.includes(capability))
  if (both !== undefined)
    reportAt(problems, partOf(field, 'cap_drop'), `\`${both}\` is added and dropped`)
}

function checkContainerNames({ draft, enabled, project, problems }: Check): void {
  for (const { service, field } of draft.services)
    if (service.containerName !== null && service.replicas > 1)
      reportAt(
        problems,
        partOf(field, 'container_name'),
        `${service.replicas} replicas cannot share one name`,
      )
  const generated = new Map<string, string>()
  for (const { service } of enabled)
    for (let n = 1; service.containerName === null && n <= service.replicas; n++)
      generated.set(`${project}-${service.name}-${n}`, service.name)
  for (const { service, field } of enabled) {
    if (service.containerName === null) continue
    const owner = generated.get(service.containerName)
    if (owner !== undefined)
      reportAt(
        problems,
        partOf(field, 'container_name'),
        `a container of service \`${owner}\` has this name`,
      )
    generated.set(service.containerName, service.name)
  }
}
