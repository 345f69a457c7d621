/** `kvasir/server`: models behind the protocols of OpenAI and Anthropic, for any server that speaks fetch. */
export { createHandler, type Handler } from './handler.js';
export type { KeyOptions } from './keys.js';
export type { HandlerOptions, LogEntry, ServerLimits } from './options.js';
export type { ServedModel } from './pool.js';
