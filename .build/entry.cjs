#!/usr/bin/env node
'use strict'
// Starts the program, one file, with what V8 compiled of it when it was built: most of the time of a
// short command would go into compiling it anew. Another Node refuses that cache, and compiles.
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')
const { Script } = require('node:vm')

const { PAK_RECORD_CODE_CACHE: records, PAK_SUPERVISOR: supervisor } = process.env
const runsAgent = process.argv[2] === 'agent' && process.argv[3] === 'run'
const name = runsAgent && (records || supervisor) ? 'agent' : 'main'
const filename = join(__dirname, `${name}.cjs`)
const cacheFile = join(__dirname, `${name}.cache`)
// The bundle is ASCII, wrapped in a function of what a CommonJS module gets.
const script = new Script(readFileSync(filename, 'latin1'), {
  filename,
  ...(records ? {} : cached()),
})
if (records) process.on('exit', () => writeFileSync(cacheFile, script.createCachedData()))
script.runInThisContext()(require, module, filename, __dirname)

function cached() {
  try {
    return { cachedData: readFileSync(cacheFile) }
  } catch {
    return {}
  }
}
