// Makes dist/: the program as one file with V8's code cache beside it, and the library.

import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import './schema.mjs'

const root = new URL('../', import.meta.url)
const path = (name) => fileURLToPath(new URL(name, root))
const EXAMPLE = path('examples/hello/pak.yaml')
const { version } = JSON.parse(await readFile(path('package.json'), 'utf8'))

// Into a folder of its own first: whoever runs pak meanwhile never sees half of it.
const draft = path(`.cache/dist-${process.pid}`)
const common = {
  bundle: true,
  minifyWhitespace: true,
  minifySyntax: true,
  platform: 'node',
  target: 'node20.19',
  logLevel: 'warning',
}

/**
 * Modules of Node that most commands load and never use, at 10 ms each: crypto, and child_process, which commander asks
 * for (it starts programs for a kind of subcommand that pak has not). They are loaded when a function of theirs is called.
 */
const later = {
  name: 'later',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:(child_process|crypto)$/ }, ({ path, importer, namespace }) => {
      const isOurs = path === 'node:child_process' && !importer.includes('/node_modules/commander/')
      return namespace === 'later' || isOurs ? null : { path: path.slice(5), namespace: 'later' }
    })
    onLoad({ filter: /.*/, namespace: 'later' }, async ({ path }) => ({
      contents: Object.entries(await import(`node:${path}`))
        .filter(([name, value]) => name !== 'default' && typeof value === 'function')
        .map(([name]) => `exports.${name} = (...args) => require('node:${path}').${name}(...args)`)
        .join('\n'),
    }))
  },
}

/** One file each: what commands are, and what the agent is. */
for (const [name, entry, plugins] of [
  ['main', 'src/cli/main.ts', [later]],
  ['agent', 'src/agent/main.ts', []],
])
  await build({
    ...common,
    plugins,
    entryPoints: [path(entry)],
    outfile: `${draft}/${name}.cjs`,
    format: 'cjs',
    define: {
      PAK_VERSION: JSON.stringify(version),
      PAK_AGENT_APART: 'true',
      'import.meta.url': 'PAK_URL',
    },
    charset: 'ascii',
    banner: {
      js: "(function (require, module, __filename, __dirname) { const PAK_URL = require('node:url').pathToFileURL(__filename).href;",
    },
    footer: { js: '})' },
    // `import()` becomes a lazy part of the one file.
    supported: { 'dynamic-import': false },
  })
await build({
  ...common,
  entryPoints: [path('src/index.ts')],
  outfile: `${draft}/index.mjs`,
  format: 'esm',
  define: { PAK_VERSION: JSON.stringify(version) },
  // Some packages are CommonJS and ask for Node's modules with require.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
})
await copyFile(path('.build/entry.cjs'), `${draft}/pak.js`)
await chmod(`${draft}/pak.js`, 0o755)
await writeFile(`${draft}/package.json`, '{ "type": "commonjs" }\n')
const source = await build({
  entryPoints: [path('src/agent/node-flags.ts')],
  format: 'esm',
  write: false,
})
const { NODE_FLAGS } = await import(
  `data:text/javascript,${encodeURIComponent(source.outputFiles[0].text)}`
)
await record([], idleUp)
// Under the agent's flags: V8 takes a cache only under those that it was made under.
await record(NODE_FLAGS, rehearsal)
await rm(path('dist'), { recursive: true, force: true })
await rename(draft, path('dist'))

/** Have V8 write down what it compiled for the command that `prepare` gives, and what it reads. */
async function record(flags, prepare) {
  const folder = await mkdtemp(join(tmpdir(), 'pak-build-'))
  try {
    const { args, input = '' } = await prepare(folder)
    const env = { ...process.env, PAK_RECORD_CODE_CACHE: '1' }
    const run = promisify(execFile)(process.execPath, [...flags, `${draft}/pak.js`, ...args], {
      env,
    })
    run.child.stdin.end(input)
    await run
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What the agent plans and applies in memory. */
async function rehearsal() {
  const { loadManifest } = await import(pathToFileURL(`${draft}/index.mjs`))
  const none = { projectName: null, profiles: [], envFiles: [], environment: {} }
  const { desired } = await loadManifest({ files: [EXAMPLE], cwd: path('.'), ...none })
  return { args: ['agent', 'run'], input: JSON.stringify(desired) }
}

/** An `up` that finds everything as it should be is what most commands load most of. */
async function idleUp(folder) {
  const summary = { create: 0, update: 0, recreate: 0, remove: 0, start: 0, stop: 0 }
  const lines = [
    { type: 'plan', plan: { project: 'hello', steps: [], summary, warnings: [] } },
    { type: 'result', ok: true, done: [], failed: [], skipped: [], cancelled: false, leaving: [] },
  ]
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      response.setHeader('content-type', 'application/x-ndjson')
      for (const line of lines) response.write(`${JSON.stringify(line)}\n`)
      response.end()
    })
  })
  const facts = { pid: process.pid, version, startedAt: new Date(0).toISOString() }
  await writeFile(join(folder, 'agent.json'), JSON.stringify(facts))
  await new Promise((resolve) => server.listen(join(folder, 'pak.sock'), resolve))
  server.unref()
  return { args: ['up', '--detach', '-f', EXAMPLE, '--run-root', folder] }
}
