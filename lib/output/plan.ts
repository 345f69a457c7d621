/** How the answer to one prompt is read and steered: what the engine is given beside the prompt. */
import type { AnswerShape } from '../structure/answer-shape.js';
import type { OutputParser } from './parser.js';
import type { SteeringTask } from './steering.js';

export interface AnswerPlan {
  /** A parser for one answer. @param isStructured its text is what `responseFormat` asks for */
  createParser(stops: readonly string[], isStructured: boolean): OutputParser;
  /** Absent: thoughts have no bound. */
  steering?: SteeringTask;
  /** What the answer may be made of. */
  shape: AnswerShape;
  /** Tokens that end texts of this model elsewhere, but not this answer. */
  goesOnAfter: ReadonlySet<number>;
  /** Tools were given: the result lists calls, also where there are none. */
  hasTools: boolean;
}
