/** Who is told how a sampler came to its token. */
import type { LogitRow } from './sampling-options.js';
import type { Shortlist } from './shortlist.js';

/** Called in this order for each token; what it is given is valid during the call alone. */
export interface SamplerWatch {
  /** The row as the model gave it. */
  begin(row: LogitRow): void;
  /** What is left behind a stage. @param name 'penalties', 'temperature', 'topK' ..., or 'greedy' */
  passed(name: string, list: Shortlist): void;
  /** The number in [0, 1) that drew; not called where one token was left. */
  drew(uniform: number): void;
  chose(token: number): void;
}
