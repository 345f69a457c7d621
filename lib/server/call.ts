/** What answers a request: the model that is its for so long, and what it may take. */
import type { Generation } from '../engine/run.js';
import type { Model } from '../model.js';
import type { GenerateOptions } from '../options.js';
import type { Prompt } from '../prompt.js';
import type { EventSource } from './event-source.js';
import type { RequestFacts } from './exchange.js';
import type { Failure } from './failure.js';
import type { ServerLimits } from './options.js';

export interface Call {
  readonly model: Model;
  /** Of the model. @param variables what its chat template knows besides. */
  generate(prompt: Prompt, options: GenerateOptions, variables?: Record<string, unknown>): Generation;
  /** The name by which it is served. */
  readonly modelId: string;
  /** Of the request: `req_...`. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly signal: AbortSignal;
  /** Ends what the request still has running. */
  abort(reason: Failure): void;
  readonly limits: Readonly<Required<ServerLimits>>;
  readonly facts: RequestFacts;
}

/** One JSON text, or events. */
export type Answer = { json: unknown } | { events: EventSource };
