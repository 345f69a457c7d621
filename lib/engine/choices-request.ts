/** A request that generates several texts after one prompt, and gives its run the best of them when all have ended. */
import type { GeneratedLogprob } from '../generation/logprobs.js';
import type { Answer } from '../output/answer.js';
import type { OutputPiece } from '../output/pieces.js';
import { mostTokens, type StructuredOutcome } from './continuation.js';
import type { GenerationTask } from './generation-request.js';
import { perSecond } from './per-second.js';
import { Request } from './request.js';
import type { Choice, FinishReason } from './run.js';
import type { SpeculationCounts } from './speculation.js';

/** One text that has ended. */
export interface EndedText {
  text: string;
  tokens: number[];
  finishReason: FinishReason;
  answer: Answer | undefined;
  logprobs?: GeneratedLogprob[];
  score?: number;
  outcome?: StructuredOutcome;
}

export abstract class ChoicesRequest extends Request {
  protected readonly task: GenerationTask;
  /** Tokens of all texts, also of those that do not come. */
  protected generated = 0;
  #cachedTokens = 0;
  #startedAt = 0;
  #firstTokenAt = 0;
  #lastTokenAt = 0;

  constructor(task: GenerationTask, branches: number) {
    const { prompt, cache, adapter } = task;
    super(prompt, prompt.length + mostTokens(task) - 1, cache, branches, adapter);
    this.task = task;
  }

  get paused(): boolean {
    return this.task.run.full;
  }

  override onStart(cached: number, now: number): void {
    if (this.#startedAt > 0) return;
    this.#startedAt = now;
    this.#cachedTokens = cached;
  }

  fail(error: unknown): void {
    if (this.settled) return;
    this.settled = true;
    this.task.run.fail(error);
  }

  /** Absent where nothing is drafted. */
  protected get speculationCounts(): SpeculationCounts | undefined {
    return undefined;
  }

  /** A step brought tokens. */
  protected tick(now: number): void {
    if (this.#firstTokenAt === 0) this.#firstTokenAt = now;
    this.#lastTokenAt = now;
  }

  /** As `finish`, where nothing has gone out before. */
  protected finishAtOnce(texts: readonly EndedText[]): void {
    const { tokens, logprobs = [] } = texts[0];
    this.task.run.pushAll(tokens, piecesOf(texts[0]), logprobs);
    this.finish(texts, []);
  }

  /** @param texts at least one, the best first. @param pieces of the best one, that have not gone out. */
  protected finish(texts: readonly EndedText[], pieces: readonly OutputPiece[]): void {
    this.settled = true;
    const { run, prompt, createdAt, plan, droppedTokens = 0 } = this.task;
    const choices = texts.map((one) => choiceOf(one, plan?.hasTools === true));
    const { score, ...best } = choices[0];
    const first = this.#firstTokenAt;
    const computed = prompt.length - this.#cachedTokens;
    run.finish(
      {
        ...best,
        choices,
        usage: {
          promptTokens: prompt.length,
          completionTokens: this.generated,
          cachedTokens: this.#cachedTokens,
          ...(droppedTokens > 0 ? { droppedTokens } : {}),
        },
        timings: {
          ttftMs: first > 0 ? first - createdAt : 0,
          prefillTokensPerSecond: first > 0 ? perSecond(computed, first - this.#startedAt) : 0,
          decodeTokensPerSecond: perSecond(this.generated - 1, this.#lastTokenAt - first),
          ...this.speculationCounts,
        },
      },
      pieces,
    );
  }
}

/** A whole text as one would have read it. */
function piecesOf({ text, answer }: EndedText): OutputPiece[] {
  const pieces: OutputPiece[] = [];
  if (answer?.hasReasoning) pieces.push({ type: 'reasoning', text: answer.reasoning });
  if (text !== '') pieces.push({ type: 'text', text });
  answer?.calls.forEach(({ id, name, argumentsText }, index) => {
    pieces.push({ type: 'tool-call', index, id, name, arguments: argumentsText });
  });
  return pieces;
}

function choiceOf(
  { text, tokens, finishReason, answer, logprobs, score, outcome }: EndedText,
  hasTools: boolean,
): Choice {
  const choice: Choice = { text, tokens, finishReason };
  if (answer?.hasReasoning) choice.reasoning = answer.reasoning;
  if (answer && hasTools) choice.toolCalls = answer.calls;
  if (logprobs) choice.logprobs = logprobs;
  if (score !== undefined) choice.score = score;
  return Object.assign(choice, outcome);
}
