/** `npm run demo`: install what this machine lacks, start the example, show its page and its services. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { provideBuild } from '../../test/support/build.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const PAK = join(PROJECT, 'dist', 'pak.js')
const FILE = join('examples', 'hello', 'pak.yaml')
const PAGE = 'http://127.0.0.1:8088/'

if (process.getuid?.() !== 0) stop('containers need root here: try `sudo npm run demo`')
if (!provideBuild(PROJECT)) stop('the build did not work')
pak('doctor', '--install')
pak('up', '-d', '--wait', '-f', FILE)

console.log(`\n$ curl ${PAGE}`)
const response = await fetch(PAGE)
console.log((await response.text()).trimEnd())
if (!response.ok) stop(`the page answers with status ${response.status}`)

console.log()
pak('ps', '-f', FILE)
console.log(`
It runs on. Change GREETING in ${FILE} and see what that would do, and why:

  npx pak plan -f ${FILE}
  npx pak up -d -f ${FILE}

Take it down, with its volume:  npx pak down -v -f ${FILE}
`)

function pak(...args: readonly string[]): void {
  console.log(`$ pak ${args.join(' ')}`)
  const { status } = spawnSync(process.execPath, [PAK, ...args], { cwd: PROJECT, stdio: 'inherit' })
  if (status !== 0) stop(`pak ${args[0]}: exit status ${status}`)
}

function stop(reason: string): never {
  console.error(`demo: ${reason}`)
  process.exit(1)
}
