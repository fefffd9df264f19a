import type { OperationLine } from '../agent/wire.ts'
import type { LogEntry } from '../telemetry/logs.ts'

/** What a command that changes the machine tells its view while it goes on, in order. */
export type ProgressItem =
  | OperationLine
  | { readonly type: 'note'; readonly text: string }
  /** A sentence that nothing may replace. */
  | { readonly type: 'message'; readonly text: string }
  | { readonly type: 'warning'; readonly text: string }
  /** Wait for an answer before anything else is shown. */
  | { readonly type: 'question'; readonly text: string; readonly answer: (yes: boolean) => void }
  | { readonly type: 'log'; readonly entry: LogEntry }
