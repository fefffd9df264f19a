import { createInterface } from 'node:readline/promises'
import type { Invocation } from '../grammar.ts'

/** One question on the terminal; only `y` or `yes` is a yes. ^C is a no that ends the command. */
export async function ask(text: string, { terminal, interrupts }: Invocation): Promise<boolean> {
  const lines = createInterface({ input: terminal.stdin, output: terminal.stderr })
  try {
    const answer = await lines.question(`${text} [y/N] `, { signal: interrupts.signal })
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    lines.close()
  }
}
