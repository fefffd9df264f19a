import type { CommandSpec } from './grammar.ts'
import { AGENT, COMPLETE, COMPLETION, DOCTOR, SCHEMA, VERSION } from './table-host.ts'
import { CP, EXEC, IMAGE, INSPECT, LOGS, PS, RUN } from './table-look.ts'
import { CONFIG, VALIDATE } from './table-manifest.ts'
import { NETWORK } from './table-network.ts'
import { EVENTS, EXPLAIN, HISTORY } from './table-past.ts'
import {
  DOWN,
  KILL,
  PAUSE,
  PLAN,
  RESTART,
  RM,
  ROLLBACK,
  SCALE_TO,
  START,
  STOP,
  UNPAUSE,
  UP,
  WAIT,
} from './table-run.ts'
import { STATS, TOP } from './table-usage.ts'
import { VOLUME } from './table-volume.ts'

/** Every command, in the order in which the help lists them. */
export const COMMANDS: readonly CommandSpec[] = [
  UP,
  DOWN,
  PLAN,
  PS,
  LOGS,
  STATS,
  TOP,
  EXEC,
  RUN,
  CP,
  START,
  STOP,
  RESTART,
  ROLLBACK,
  KILL,
  PAUSE,
  UNPAUSE,
  RM,
  SCALE_TO,
  WAIT,
  INSPECT,
  EXPLAIN,
  EVENTS,
  HISTORY,
  CONFIG,
  VALIDATE,
  IMAGE,
  VOLUME,
  NETWORK,
  DOCTOR,
  AGENT,
  COMPLETION,
  SCHEMA,
  VERSION,
  COMPLETE,
]
