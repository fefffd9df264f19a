import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Build `dist/` when it is missing or older than what it is made from; whether it is good now. */
export function provideBuild(projectFolder: string): boolean {
  const built = join(projectFolder, 'dist', 'pak.js')
  // The emulated machine sees what was built outside, and building there takes minutes.
  if (process.env['PAK_VM'] === '1') return existsSync(built)
  const sources = ['src', 'schema', '.build', 'package.json'].map((name) =>
    join(projectFolder, name),
  )
  if (existsSync(built) && Math.max(...sources.map(newest)) <= statSync(built).mtimeMs) return true
  console.log('build: dist is missing or older than src')
  const { status } = spawnSync('npm', ['run', '--silent', 'build'], {
    cwd: projectFolder,
    stdio: 'inherit',
  })
  return status === 0
}

function newest(path: string): number {
  if (!existsSync(path)) return 0
  const own = statSync(path)
  if (!own.isDirectory()) return own.mtimeMs
  return readdirSync(path).reduce((most, name) => Math.max(most, newest(join(path, name))), 0)
}
