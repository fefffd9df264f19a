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

export const logFolder = ({ root, project }: SourceRequest): string =>
  join(root, 'projects', project, 'logs')

async function sourceOf(request: SourceRequest, container: string): Promise<LogSource> {
  const { root, project } = request
  const prefix = `${project}-`
  const label = container.startsWith(prefix) ? container.slice(prefix.length) : container
  const numbered = /^(.+)-\d+$/.exec(label)?.[1] ?? label
  const recorded = await recordedService(
    join(root, 'projects', project, 'containers', `${container}.json`),
  )
  return {
    container,
    service: recorded ?? numbered,
    label,
    path: join(logFolder(request), `${container}.log`),
  }
}

/** The name says the service but for `container_name`; then only the container's record knows. */
async function recordedService(path: string): Promise<string | null> {
  try {
    const record: unknown = JSON.parse(await readFile(path, 'utf8'))
    if (typeof record !== 'object' || record === null || !('service' in record)) return null
    return typeof record.service === 'string' ? record.service : null
  } catch {
    return null
  }
}

async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch {
    return []
  }
}
