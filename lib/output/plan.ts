/** How the answer to one prompt is read and steered: what the engine is given beside the prompt. */
import type { OutputParser } from './parser.js';
import type { SteeringTask } from './steering.js';

export interface AnswerPlan {
  /** A parser for one answer. */
  createParser(stops: readonly string[]): OutputParser;
  /** Absent: the model is free. */
  steering?: SteeringTask;
  /** Tokens that end texts of this model elsewhere, but not this answer. */
  goesOnAfter: ReadonlySet<number>;
  /** Tools were given: the result lists calls, also where there are none. */
  hasTools: boolean;
}
