// Makes dist/: the program as one file with V8's code cache beside it, and the library.

import { execFileSync } from 'node:child_process'
import { chmod, copyFile, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import './schema.mjs'

const root = new URL('../', import.meta.url)
const path = (name) => fileURLToPath(new URL(name, root))
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

/** commander starts programs for a kind of subcommand that pak has not: the module is 9 ms of every command. */
const laterChildProcess = {
  name: 'later-child-process',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes('/node_modules/commander/')
        ? { path: 'child_process', namespace: 'later' }
        : null,
    )
    onLoad({ filter: /.*/, namespace: 'later' }, () => ({
      contents: "exports.spawn = (...args) => require('node:child_process').spawn(...args)",
    }))
  },
}

await build({
  ...common,
  plugins: [laterChildProcess],
  entryPoints: [path('src/cli/main.ts')],
  outfile: `${draft}/main.cjs`,
  format: 'cjs',
  define: { PAK_VERSION: JSON.stringify(version), 'import.meta.url': 'PAK_URL' },
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
// A plan is what most commands load most of. The agent's cache is made under the agent's flags.
for (const [cache, flags] of [
  ['main.cache', []],
  ['agent.cache', NODE_FLAGS],
]) {
  const args = ['plan', '--simulate', '-f', path('examples/hello/pak.yaml')]
  execFileSync(process.execPath, [...flags, `${draft}/pak.js`, ...args], {
    env: { ...process.env, PAK_RECORD_CODE_CACHE: cache },
    stdio: 'pipe',
  })
}
await rm(path('dist'), { recursive: true, force: true })
await rename(draft, path('dist'))
