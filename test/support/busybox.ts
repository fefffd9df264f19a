import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { join } from 'node:path'
import { installed } from './skip.ts'

/** What a root filesystem needs to run a shell; the applets are links, so it costs one file. */
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  'etc/group': 'root:x:0:\nnobody:x:65534:\n',
}
const FOLDERS = ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'var/log']

/** A reason to skip where there is no static busybox; `null` where there is. */
export const lacksBusybox = (): string | null =>
  installed('busybox') ? null : 'not installed: busybox (package busybox-static)'

/** Make a root filesystem with every applet of the host's busybox in `folder`; returns `folder`. */
export async function busyboxRootfs(folder: string): Promise<string> {
  for (const name of FOLDERS) await fs.mkdir(join(folder, name), { recursive: true })
  await fs.chmod(join(folder, 'tmp'), 0o1777)
  const program = execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim()
  await fs.copyFile(program, join(folder, 'bin/busybox'))
  const applets = execFileSync(program, ['--list'], { encoding: 'utf8' }).split('\n')
  for (const applet of applets.filter((name) => name !== '' && name !== 'busybox'))
    await fs.symlink('busybox', join(folder, 'bin', applet))
  for (const [path, text] of Object.entries(FILES)) await fs.writeFile(join(folder, path), text)
  return folder
}
