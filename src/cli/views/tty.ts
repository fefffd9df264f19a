import { DefaultRenderer, Listr, ListrLogger, type ListrTask, ProcessOutput } from 'listr2'
import type { Plan } from '../../model/plan.ts'
import type { Terminal } from '../terminal.ts'
import { type OutlineUnit, outline } from './outline.ts'
import { endText } from './painters.ts'
import type { Painter } from './progress.ts'

/** A list that moves, for people: one line for each thing of the plan, its reason beside it. */
export function ttyPainter(terminal: Terminal): Painter {
  let started: number | null = null
  const { dim, yellow } = terminal.errorColors
  let planned: Plan | null = null
  let units: readonly LiveUnit[] = []
  let running: Promise<unknown> | null = null
  let noted = false
  const clearNote = () => {
    // To the line's start, and erase the line.
    if (noted) terminal.stderr.write('\r\x1b[2K')
    noted = false
  }
  const warning = (text: string) => {
    clearNote()
    terminal.warn(`${yellow('warning:')} ${text}`)
  }
  return {
    note(text) {
      started ??= Date.now()
      clearNote()
      if (running !== null) return
      terminal.stderr.write(dim(text))
      noted = true
    },
    message(text) {
      clearNote()
      terminal.warn(text)
    },
    warning,
    plan(plan) {
      started ??= Date.now()
      clearNote()
      planned = plan
      plan.warnings.forEach(warning)
      units = outline(plan).map(liveUnit)
      if (units.length > 0) running = list(units, terminal).run()
    },
    event(event) {
      const unit = units.find(({ open }) => open.has(event.id))
      if (unit === undefined || event.type === 'started') return
      unit.open.delete(event.id)
      if (event.type === 'failed') unit.settle({ failed: event.error.message })
      else if (event.type === 'skipped') unit.settle({ skipped: event.because })
      else if (unit.open.size === 0) unit.settle({})
    },
    async close(result) {
      clearNote()
      // What never came to its turn must not keep the list waiting.
      for (const unit of units) unit.settle({ skipped: 'not reached' })
      await running
      running = null
      if (result !== null && planned !== null)
        terminal.warn(dim(endText(planned, result.ok, Date.now() - (started ?? Date.now()))))
      planned = null
    },
  }
}

interface Outcome {
  readonly failed?: string
  readonly skipped?: string
}

interface LiveUnit {
  readonly unit: OutlineUnit
  /** Steps that are not done yet. */
  readonly open: Set<string>
  readonly settled: Promise<Outcome>
  readonly settle: (outcome: Outcome) => void
}

function liveUnit(unit: OutlineUnit): LiveUnit {
  let settle: (outcome: Outcome) => void = () => {}
  const settled = new Promise<Outcome>((resolve) => {
    settle = resolve
  })
  return { unit, open: new Set(unit.stepIds), settled, settle }
}

/** Listr2 would look whether stdout is a terminal; here stderr is, and stdout may well be a pipe. */
class StderrRenderer extends DefaultRenderer {
  static override nonTTY = true
}

/** On stderr: stdout is data. Listr2 leaves signals to pak. */
function list(units: readonly LiveUnit[], terminal: Terminal): Listr {
  const logger = new ListrLogger({
    processOutput: new ProcessOutput(terminal.stderr, terminal.stderr),
  })
  return new Listr(
    units.map((unit) => task(unit, terminal)),
    {
      concurrent: true,
      exitOnError: false,
      registerSignalListeners: false,
      renderer: StderrRenderer,
      rendererOptions: { logger, collapseErrors: false, showErrorMessage: true },
    },
  )
}

function task({ unit, settled }: LiveUnit, terminal: Terminal): ListrTask {
  const title = `${unit.title} ${terminal.errorColors.dim(unit.because)}`
  return {
    title,
    task: async (_context, own) => {
      const { failed, skipped } = await settled
      if (failed !== undefined) throw new Error(failed)
      if (skipped !== undefined) own.skip(`${title} (skipped: ${skipped})`)
    },
  }
}
