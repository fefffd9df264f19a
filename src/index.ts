/**
 * pak as a library: load a manifest, see what would be done on some executor, do it. An executor of
 * one's own is an object that implements `Executor`.
 */
export { type Application, type Convergence, converge, type Survey, survey } from './converge.ts'
export { type ErrorCode, PakError } from './errors.ts'
export { type ApplyResult, apply } from './executor/apply.ts'
export type * from './executor/executor.ts'
export { memoryExecutor } from './executor/memory/memory.ts'
export { type LoadedProject, type LoadRequest, loadManifest } from './manifest/load.ts'
export type * from './model/desired.ts'
export type * from './model/events.ts'
export type * from './model/limits.ts'
export type * from './model/observed.ts'
export type * from './model/plan.ts'
export type * from './model/status.ts'
export type * from './model/usage.ts'
export { planDown } from './plan/down.ts'
export type { PlanOptions } from './plan/options.ts'
export { plan } from './plan/plan.ts'
export { renderPlan } from './plan/render.ts'
