// Compiles schema/pak.schema.json into plain code, so that the program never loads the compiler.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import Ajv from 'ajv'
import standaloneCode from 'ajv/dist/standalone/index.js'

const root = new URL('../', import.meta.url)
const folder = new URL('src/manifest/generated/', root)
const schema = JSON.parse(await readFile(new URL('schema/pak.schema.json', root), 'utf8'))

const ajv = new Ajv({
  allErrors: true,
  // Errors carry the rule that failed: its title is what was expected.
  verbose: true,
  strict: true,
  strictTypes: false,
  allowUnionTypes: true,
  unicodeRegExp: false,
  code: { source: true, esm: true },
})
const validator = standaloneCode(ajv, ajv.compile(schema))
if (validator.includes('require(')) throw new Error('the compiled schema needs ajv at run time')

await mkdir(folder, { recursive: true })
await write('validator.js', validator)
await write(
  'validator.d.ts',
  `export interface SchemaError {
  readonly instancePath: string
  readonly schemaPath: string
  readonly keyword: string
  readonly params: Readonly<Record<string, unknown>>
  readonly message?: string
  readonly propertyName?: string
  readonly parentSchema?: Readonly<Record<string, unknown>>
}
export declare const validate: {
  (data: unknown): boolean
  errors?: readonly SchemaError[] | null
}
`,
)

async function write(name, text) {
  const file = new URL(name, folder)
  const before = await readFile(file, 'utf8').catch(() => null)
  if (before !== text) await writeFile(fileURLToPath(file), text)
}
