import type { HealthTest } from '../../model/desired.ts'
import { type Answer, askHttp, askTcp, type Connect } from '../../network/ask.ts'
import type { LinuxHost } from './host.ts'
import { runInside } from './inside.ts'
import { reachPort } from './reach.ts'

export interface ProbeRequest {
  readonly project: string
  readonly container: string
  readonly test: HealthTest
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Ask once how a container is. A command that runs out of time is killed with everything that it
 * started, a connection is closed. Rejects then, and where the container cannot be asked at all.
 */
export async function probe(
  host: LinuxHost,
  request: ProbeRequest,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const { test } = request
  if (test.kind === 'tcp' || test.kind === 'http') return ask(host, request, test)
  const command = checkCommand(test)
  return runInside(host, {
    ...request,
    command,
    environment: {},
    user: null,
    workingDir: null,
  })
}

async function ask(
  host: LinuxHost,
  { project, container, timeoutMs, signal }: ProbeRequest,
  test: Extract<HealthTest, { kind: 'http' | 'tcp' }>,
): Promise<Answer> {
  const inTime = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  const connect: Connect = (port, until) => reachPort(host, { project, container, port }, until)
  try {
    return test.kind === 'tcp'
      ? await askTcp(connect, test.port, inTime)
      : await askHttp(connect, test, inTime)
  } catch (error) {
    if (!inTime.aborted || signal.aborted) throw error
    throw new Error(`${test.kind} :${test.port}: no answer after ${timeoutMs} ms`, { cause: error })
  }
}

export function checkCommand({
  kind,
  command,
}: Extract<HealthTest, { kind: 'exec' | 'shell' }>): readonly string[] {
  return kind === 'shell' ? ['/bin/sh', '-c', command.join(' ')] : command
}
