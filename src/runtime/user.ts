import { PakError } from '../errors.ts'
import { insideRoot } from '../kernel/inside-root.ts'
import type { Kernel } from '../kernel/kernel.ts'

/** Who the container's process is, in numbers. */
export interface ResolvedUser {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  /** From the container's `/etc/passwd`; `/` where it does not say, `/root` for uid 0. */
  readonly home: string
}

interface UserRequest {
  /** Absolute path of the mounted root. */
  readonly rootfs: string
  /** `name`, `uid`, `name:group`, `uid:gid`; `null` is root. */
  readonly user: string | null
  readonly groupAdd: readonly string[]
}

interface PasswdEntry {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

interface GroupEntry {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/** uid_t has 32 bits, but -1 means "leave alone" and tools stumble past 31. */
const MAX_ID = 2 ** 31 - 1
const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_GROUPS = 1024

/**
 * Turns `user:` and `group_add:` into numbers with the container's own `/etc/passwd` and `/etc/group`,
 * read without ever leaving the rootfs. A user in passwd brings its groups unless a group is given, as in
 * Docker. PakError `manifest` when a name is unknown there or a number is out of range.
 */
export async function resolveUser(kernel: Kernel, request: UserRequest): Promise<ResolvedUser> {
  const [passwd, group] = await Promise.all([
    readInside(kernel, request.rootfs, '/etc/passwd'),
    readInside(kernel, request.rootfs, '/etc/group'),
  ])
  return userFrom(request, parsePasswd(passwd), parseGroup(group))
}

/** Names of a container's users by uid, from its `/etc/passwd`; the first name counts. Hostile text. */
export async function userNames(
  kernel: Kernel,
  rootfs: string,
): Promise<ReadonlyMap<number, string>> {
  const entries = parsePasswd(await readInside(kernel, rootfs, '/etc/passwd'))
  return new Map(entries.map(({ uid, name }) => [uid, name] as const).reverse())
}

function userFrom(
  { user, groupAdd }: UserRequest,
  passwd: readonly PasswdEntry[],
  groups: readonly GroupEntry[],
): ResolvedUser {
  const [userPart = '', groupPart = ''] = splitOnce(user === null || user === '' ? '0' : user)
  const entry = passwd.find(({ name }) => name === userPart) ?? byUid(passwd, userPart)
  const uid = entry?.uid ?? numeric(userPart)
  if (uid === null) throw unknown('user', userPart, '/etc/passwd')
  const own =
    groupPart === '' && entry !== undefined
      ? groups.filter(({ members }) => members.includes(entry.name)).map(({ gid }) => gid)
      : []
  const gid = groupPart === '' ? (entry?.gid ?? 0) : groupId(groups, groupPart)
  const extra = groupAdd.map((name) => groupId(groups, name))
  return {
    uid,
    gid,
    additionalGids: [...new Set([gid, ...own, ...extra])]
      .sort((a, b) => a - b)
      .slice(0, MAX_GROUPS),
    home: entry?.home ?? (uid === 0 ? '/root' : '/'),
  }
}

function byUid(passwd: readonly PasswdEntry[], text: string): PasswdEntry | undefined {
  const uid = numeric(text)
  return uid === null ? undefined : passwd.find((entry) => entry.uid === uid)
}

function groupId(groups: readonly GroupEntry[], text: string): number {
  const gid = groups.find(({ name }) => name === text)?.gid ?? numeric(text)
  if (gid === null) throw unknown('group', text, '/etc/group')
  return gid
}

/** `null` for a name; PakError when it is a number that no id may be. */
function numeric(text: string): number | null {
  if (!/^\d+$/.test(text)) return null
  const id = Number(text)
  if (id > MAX_ID) throw new PakError('manifest', `resolve id \`${text}\`: past ${MAX_ID}`)
  return id
}

const splitOnce = (text: string): readonly string[] => {
  const colon = text.indexOf(':')
  return colon < 0 ? [text] : [text.slice(0, colon), text.slice(colon + 1)]
}

const unknown = (what: string, name: string, file: string): PakError =>
  new PakError('manifest', `resolve ${what} \`${name}\`: not in ${file} of the container`)

function parsePasswd(text: string): readonly PasswdEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = '', , home = ''] = line.split(':')
    if (name === '' || !isId(uid) || !isId(gid)) return []
    return [{ name, uid: Number(uid), gid: Number(gid), home: home.startsWith('/') ? home : '/' }]
  })
}

function parseGroup(text: string): readonly GroupEntry[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', , gid = '', members = ''] = line.split(':')
    return name === '' || !isId(gid)
      ? []
      : [{ name, gid: Number(gid), members: members.split(',').filter(Boolean) }]
  })
}

const isId = (text: string): boolean => /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID

/** Text of a file inside a rootfs; empty when there is none, or it is no plain file of a sane size. */
async function readInside(kernel: Kernel, rootfs: string, path: string): Promise<string> {
  const real = await insideRoot(kernel, rootfs, path)
  return real === null ? '' : ((await kernel.readBelow(rootfs, real, MAX_FILE_BYTES)) ?? '')
}
