/** The CPUs of a kernel list such as `0-2,4`; anything else is none. */
export function cpusOf(list: string): ReadonlySet<number> {
  const cpus = new Set<number>()
  for (const part of list.trim().split(',')) {
    const [, first, last = first] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part) ?? []
    if (first === undefined) continue
    for (let cpu = Number(first); cpu <= Number(last); cpu++) cpus.add(cpu)
  }
  return cpus
}

/** As the kernel would take it, not in its shortest form. */
export const cpuList = (cpus: Iterable<number>): string =>
  [...new Set(cpus)].sort((a, b) => a - b).join(',')

/** Those of `list` that are not in `all`, as a list. */
export function beyond(list: string, all: string): string {
  const known = cpusOf(all)
  return cpuList([...cpusOf(list)].filter((cpu) => !known.has(cpu)))
}
