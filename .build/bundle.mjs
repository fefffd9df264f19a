// Makes dist/: the program as one small entry with its rarer parts beside it, and the library.

import { existsSync } from 'node:fs'
import { chmod, readFile, rename, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import './schema.mjs'

const root = new URL('../', import.meta.url)
const path = (name) => fileURLToPath(new URL(name, root))
const { version } = JSON.parse(await readFile(path('package.json'), 'utf8'))

// Into a folder of its own first: whoever runs pak meanwhile never sees half of it.
const draft = path(`.cache/dist-${process.pid}`)
const entries = { pak: path('src/cli/main.ts'), index: path('src/index.ts') }
await build({
  entryPoints: Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(file))),
  outdir: draft,
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  // Names stay as they are: a stack trace is readable, and esbuild's way of keeping them costs start-up.
  minifyWhitespace: true,
  minifySyntax: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  define: { PAK_VERSION: JSON.stringify(version) },
  // Some packages are CommonJS and ask for Node's modules with require.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
  logLevel: 'warning',
})
await chmod(`${draft}/pak.js`, 0o755)
await rm(path('dist'), { recursive: true, force: true })
await rename(draft, path('dist'))
