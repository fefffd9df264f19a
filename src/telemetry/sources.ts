import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** One container name's log; the file stays the same when the container is recreated. */
export interface LogSource {
  readonly container: string
  readonly service: string
  /** What stands before each line: `web-1`, or the container's own name where it has one. */
  readonly label: string
  readonly path: string
}

export interface SourceRequest {
  readonly root: string
  readonly project: string
  /** Empty: all. */
  readonly services: readonly string[]
}

/** Logs that exist now but for the known containers', sorted. No project, no folder: none. */
export async function logSources(
  request: SourceRequest,
  known: ReadonlySet<string> = new Set(),
): Promise<readonly LogSource[]> {
  const names = (await entries(logFolder(request)))
    .filter((name) => name.endsWith('.log'))
    .map((name) => name.slice(0, -'.log'.length))
    .filter((container) => !known.has(container))
    .sort()
  const found = await Promise.all(names.map((container) => sourceOf(request, container)))
  return found.filter(
    ({ service }) => request.services.length === 0 || request.services.includes(service),
  )
}

/** Containers of which no log is kept, by label, sorted. */
export async function silentSources(
  request: SourceRequest,
): Promise<readonly Pick<LogSource, 'label' | 'service'>[]> {
  const { root, project, services } = request
  const folder = join(root, 'projects', project, 'containers')
  const names = (await entries(folder)).filter((name) => name.endsWith('.json')).sort()
  const found = await Promise.all(
    names.map(async (name) => {
      const record = await readRecord(join(folder, name))
      const label = labelOf(project, name.slice(0, -'.json'.length))
      return record?.driver === 'none' ? { label, service: record.service ?? label } : null
    }),
  )
  return found
    .filter((source) => source !== null)
    .filter(({ service }) => services.length === 0 || services.includes(service))
}

export const logFolder = ({ root, project }: SourceRequest): string =>
  join(root, 'projects', project, 'logs')

async function sourceOf(request: SourceRequest, container: string): Promise<LogSource> {
  const { root, project } = request
  const label = labelOf(project, container)
  const numbered = /^(.+)-\d+$/.exec(label)?.[1] ?? label
  const record = await readRecord(
    join(root, 'projects', project, 'containers', `${container}.json`),
  )
  return {
    container,
    service: record?.service ?? numbered,
    label,
    path: join(logFolder(request), `${container}.log`),
  }
}

const labelOf = (project: string, container: string): string =>
  container.startsWith(`${project}-`) ? container.slice(project.length + 1) : container

/** The name says the service but for `container_name`; then only the container's record knows. */
async function readRecord(
  path: string,
): Promise<{ readonly service: string | null; readonly driver: string | null } | null> {
  try {
    // What comes below changes neither.
    const [whole = ''] = (await readFile(path, 'utf8')).split('\n', 1)
    const record: unknown = JSON.parse(whole)
    return {
      service: textAt(record, 'service'),
      driver: textAt(record, 'spec', 'logging', 'driver'),
    }
  } catch {
    return null
  }
}

function textAt(from: unknown, ...path: readonly string[]): string | null {
  let at = from
  for (const key of path)
    at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : null
  return typeof at === 'string' ? at : null
}

async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch {
    return []
  }
}
