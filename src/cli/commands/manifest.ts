import type { LoadedProject } from '../../manifest/load.ts'
import type { Invocation } from '../grammar.ts'
import { loadProject } from '../project.ts'

/** `config` and `validate`: the manifest as pak understands it; all its problems at once otherwise. */
export async function manifest({ globals, words }: Invocation): Promise<LoadedProject> {
  return loadProject(globals, words)
}

/** `schema`: the JSON schema of pak.yaml, for editors. */
export async function schema(): Promise<string> {
  const { manifestSchema } = await import('../schema.ts')
  return manifestSchema()
}
