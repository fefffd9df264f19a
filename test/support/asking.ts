/** One request to a port of this machine after the other, each on a connection of its own. */
export function asking(port: number) {
  const lost: string[] = []
  const answers = new Set<string>()
  let going = true
  const loop = (async () => {
    while (going) {
      try {
        answers.add(await ask(port))
      } catch (error) {
        lost.push(error instanceof Error ? String(error.cause ?? error) : String(error))
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  })()
  return {
    end: async () => {
      going = false
      await loop
      return { lost, answers }
    },
  }
}

export async function ask(port: number): Promise<string> {
  const options = { headers: { connection: 'close' }, signal: AbortSignal.timeout(10_000) }
  return (await (await fetch(`http://127.0.0.1:${port}/`, options)).text()).trim()
}
