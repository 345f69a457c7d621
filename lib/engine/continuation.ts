/** What one branch generates: it takes a token from each row of logits, turns it into its answer and says when it is over. */
import { KvasirError } from '../errors.js';
import type { GeneratedLogprob } from '../generation/logprobs.js';
import { describeLogprobs, logprobOf, logprobsNeedFullRow } from '../generation/logprobs.js';
import { Sampler, type SamplerBuffers } from '../generation/sampler.js';
import type { LogitRow } from '../generation/sampling-options.js';
import { LogitsProcessor } from '../generation/processed.js';
import type { TokenDecoder } from '../generation/text.js';
import type { StepResult } from '../native.js';
import type { Answer } from '../output/answer.js';
import { type Output, ParsedOutput, PlainOutput } from '../output/output.js';
import type { OutputPiece } from '../output/pieces.js';
import type { AnswerPlan } from '../output/plan.js';
import { isAllowed, onlyOf, type TokenMask } from '../generation/masked-row.js';
import { Steering } from '../output/steering.js';
import type { GenerateSettings } from '../options.js';
import { type CompiledStructure, decoderOf, Structure } from '../structure/structure.js';
import type { CreateSource } from './draft-source.js';
import type { Branch, WantedRow } from './request.js';
import type { FinishReason } from './run.js';

/** Candidates that native returns per row (the vocabulary, where that is smaller). */
export const CANDIDATES = 256;

/** What generating needs of the model's vocabulary. */
export interface Vocabulary {
  size: number;
  /** Any of these ends the text. */
  endTokens: ReadonlySet<number>;
  /** Text of one token by itself. */
  textOf(id: number): string;
  /** What one token adds to a text. */
  bytesOf(id: number): Uint8Array;
  /** @param after the last token before the text. */
  createDecoder(after: number): TokenDecoder;
}

export interface ContinuationTask {
  /** At least one id; not longer than the context. */
  prompt: Int32Array;
  settings: GenerateSettings;
  contextLength: number;
  vocabulary: Vocabulary;
  buffers: SamplerBuffers;
  /** Sum up log-probabilities. */
  scored?: boolean;
  /** How the answer is read and steered. Absent: it is text. */
  plan?: AnswerPlan;
  /** What `settings.responseFormat` and the tools became. */
  structure?: CompiledStructure;
  /** Who drafts its tokens. Absent: nobody. */
  drafts?: CreateSource;
  /** What its structure forces is drafted too: sequences can be cut where it was spelled otherwise. */
  draftsForced?: boolean;
}

/** Of a text with a structure. */
export interface StructuredOutcome {
  object?: unknown;
  closed?: boolean;
}

/** A token that was sampled and does not end the text. */
export interface GeneratedToken {
  token: number;
  /** What may go out with it. */
  pieces: OutputPiece[];
  logprob: GeneratedLogprob | undefined;
}

/** Tokens that a request may generate. The last one is never computed, so it needs no position. */
export function mostTokens({ prompt, settings, contextLength }: ContinuationTask): number {
  return Math.min(settings.maxTokens, contextLength - prompt.length + 1);
}

export class Continuation {
  readonly logprobs: GeneratedLogprob[] | undefined;
  text = '';
  /** Of the tokens so far, at temperature 1, where the task asks for it. */
  logprobSum = 0;
  finishReason: FinishReason | undefined;
  readonly #task: ContinuationTask;
  readonly #maxTokens: number;
  readonly #endTokens: ReadonlySet<number>;
  readonly #sampler: Sampler;
  readonly #output: Output;
  readonly #steering: Steering | undefined;
  readonly #processor: LogitsProcessor | undefined;
  readonly #fullRows: boolean;
  /** Stop strings wait for so many tokens. */
  readonly #minTokens: number;
  #generated = 0;
  /** What the answer begins with, until it goes out with the first token. */
  #opening: OutputPiece[];
  readonly #structure: Structure | undefined;

  constructor(task: ContinuationTask) {
    const { prompt, settings, vocabulary, buffers, plan } = task;
    this.#task = task;
    this.#maxTokens = mostTokens(task);
    this.#endTokens = endTokensOf(task);
    const endTokens = this.#endTokens;
    const bytesOf = (id: number) => vocabulary.bytesOf(id);
    this.#sampler = new Sampler(settings.sampling, buffers, { endTokens, bytesOf }, settings.watch);
    this.#minTokens = settings.sampling.chain?.minTokens ?? 0;
    this.#sampler.acceptPrompt(prompt);
    const { structure } = task;
    this.#structure = structure && new Structure(structure, this.#maxTokens, endTokens);
    this.#output = outputOf(task, settings.stop);
    this.#opening = this.#output.begin(settings.prompt.answerPrefix ?? '');
    this.#collect(this.#opening);
    this.#steering = plan?.steering && new Steering(plan.steering, this.#output.answer!);
    const candidates = Math.min(CANDIDATES, vocabulary.size);
    const { processLogits } = settings.hooks;
    this.#processor = processLogits && new LogitsProcessor(processLogits, settings.sampling.temperature);
    this.#fullRows =
      this.#processor !== undefined ||
      this.#structure !== undefined ||
      this.#sampler.needsFullRow(candidates) ||
      logprobsNeedFullRow(settings.logprobs ?? 0, candidates, vocabulary.size);
    this.logprobs = settings.logprobs === undefined ? undefined : [];
  }

  /** The row after the last token of a branch. */
  wantedRow({ length }: Branch): WantedRow {
    const { temperature } = this.#task.settings.sampling;
    return { position: length - 1, temperature, fullLogits: this.#fullRows, target: -1 };
  }

  /** Samples from a row of a result and appends to the branch; undefined when the token ends the text. */
  take(branch: Branch, result: StepResult, row: number): GeneratedToken | undefined {
    const logits = rowOf(result, row);
    const token = this.#structure?.over ? undefined : this.#choose(logits, branch);
    if (token === undefined || this.#endTokens.has(token)) {
      this.finishReason = 'stop';
      return undefined;
    }
    if (this.#task.scored) this.logprobSum += logprobOf(logits, token);
    return { token, pieces: this.#append(branch, token), logprob: this.#describe(logits, token) };
  }

  /**
   * What follows whatever the model says: while the structure allows one token alone, it is taken without a row, so that one
   * step computes all of them. Nothing where their rows are asked for.
   */
  *takeForced(branch: Branch): Generator<GeneratedToken> {
    if (this.logprobs || this.#task.scored) return;
    while (this.finishReason === undefined) {
      const mask = this.#structure?.forces ? this.#prepared(branch) : undefined;
      const token = mask?.allowed === 1 ? onlyOf(mask) : undefined;
      if (token === undefined || this.#endTokens.has(token)) return;
      this.#sampler.accept(token);
      this.#steering?.accept(token);
      yield { token, pieces: this.#append(branch, token), logprob: undefined };
    }
  }

  /** What may go out with it. */
  #append(branch: Branch, token: number): OutputPiece[] {
    branch.tokens[branch.length++] = token;
    const pieces = this.#output.push(token, ++this.#generated <= this.#minTokens);
    this.#collect(pieces);
    this.#structure?.accept(token);
    const { prompt } = this.#task;
    if (this.#output.stopped || this.#structure?.over) this.finishReason = 'stop';
    else if (branch.length - prompt.length >= this.#maxTokens) this.finishReason = 'length';
    return [...this.#opened(), ...pieces];
  }

  #mask({ length }: Branch): TokenMask | undefined {
    return this.#structure?.mask(this.#maxTokens - length + this.#task.prompt.length);
  }

  /** While the next step runs: what its row will need. What this throws, `take` throws too. */
  prepare(branch: Branch): void {
    if (this.finishReason === undefined) this.#prepared(branch);
  }

  #prepared(branch: Branch): TokenMask | undefined {
    try {
      return this.#mask(branch);
    } catch {
      // It is told where it can be told to this request alone.
      return undefined;
    }
  }

  /** What the structure makes of the whole text; empty without one. */
  outcome(): StructuredOutcome {
    if (!this.#structure) return {};
    const { closed, complete, hasFormat } = this.#structure;
    if (!hasFormat) return closed ? { closed } : {};
    const cut = this.finishReason === 'abort' || this.#output.stopped || (this.answer?.calls.length ?? 0) > 0;
    const object = complete && !cut ? this.#structure.object(this.text) : undefined;
    return object === undefined ? { closed } : { object, closed };
  }

  /** After the last token: what was held back. */
  flush(): OutputPiece[] {
    const rest = this.#output.flush(this.#generated <= this.#minTokens);
    this.#collect(rest);
    // A stop string may end with what the decoder held back.
    if (this.finishReason === 'length' && this.#output.stopped) this.finishReason = 'stop';
    // Calls that were closed because the tokens ran short are whole.
    const isWhole =
      this.finishReason === 'stop' || (this.finishReason === 'length' && this.#structure?.closed);
    if (isWhole && this.answer && this.answer.calls.length > 0) this.finishReason = 'tool_calls';
    return [...this.#opened(), ...rest];
  }

  #opened(): OutputPiece[] {
    const opening = this.#opening;
    this.#opening = [];
    return opening;
  }

  /** Absent: all is text. */
  get answer(): Answer | undefined {
    return this.#output.answer;
  }

  #collect(pieces: readonly OutputPiece[]): void {
    for (const piece of pieces) if (piece.type === 'text') this.text += piece.text;
  }

  #choose(given: LogitRow, branch: Branch): number {
    const mask = this.#mask(branch);
    const forced = this.#forced(mask);
    if (forced !== undefined) this.#sampler.accept(forced);
    const token = forced ?? this.#sampler.sample(this.#allowed(this.#processed(given, branch), mask));
    this.#steering?.accept(token);
    return token;
  }

  /** The only token that may come; undefined: there are several. */
  #forced(mask: TokenMask | undefined): number | undefined {
    if (mask?.allowed === 1) return onlyOf(mask);
    const steered = this.#steering?.forced();
    return steered === undefined || (mask && !isAllowed(mask.bits, steered)) ? undefined : steered;
  }

  /** Of a row those logits that the structure allows next. */
  #allowed(row: LogitRow, mask: TokenMask | undefined): LogitRow {
    if (mask === undefined) return row;
    const { buffers, settings } = this.#task;
    const allowed = buffers.masked.row(row, mask, settings.sampling.temperature);
    if (this.#processor && allowed.logits[0] === Number.NEGATIVE_INFINITY) {
      throw new KvasirError('INVALID_OPTION', 'processLogits left no token that the structure allows.', {
        details: { option: 'processLogits' },
      });
    }
    return allowed;
  }

  #processed(row: LogitRow, { tokens, length }: Branch): LogitRow {
    if (!this.#processor) return row;
    return this.#processor.apply(row, Array.from(tokens.subarray(this.#task.prompt.length, length)));
  }

  #describe(row: LogitRow, token: number): GeneratedLogprob | undefined {
    const { settings, vocabulary } = this.#task;
    if (!this.logprobs) return undefined;
    const entry = describeLogprobs(row, token, settings.logprobs ?? 0, vocabulary.textOf);
    this.logprobs.push(entry);
    return entry;
  }
}

/** How an answer is read. @param stops what ends its text */
export function outputOf(
  { prompt, vocabulary, plan, structure }: ContinuationTask,
  stops: readonly string[],
): Output {
  const decoder = structure ? decoderOf(structure) : vocabulary.createDecoder(prompt[prompt.length - 1]);
  if (!plan) return new PlainOutput(decoder, stops);
  return new ParsedOutput(decoder, plan.createParser(stops, structure?.task.format !== undefined));
}

/** Any of these ends the answer. */
export function endTokensOf({
  settings,
  vocabulary,
  plan,
}: Pick<ContinuationTask, 'settings' | 'vocabulary' | 'plan'>): ReadonlySet<number> {
  if (settings.ignoreEos) return new Set();
  if (plan === undefined || plan.goesOnAfter.size === 0) return vocabulary.endTokens;
  return new Set([...vocabulary.endTokens].filter((id) => !plan.goesOnAfter.has(id)));
}

export function rowOf(result: StepResult, row: number): LogitRow {
  const from = row * result.candidates;
  const to = from + result.candidates;
  return {
    ids: result.candidateIds.subarray(from, to),
    logits: result.candidateLogits.subarray(from, to),
    logSumExp: result.logSumExp[row],
    logSumExp1: result.logSumExp1[row],
    full: result.fullLogits[row],
  };
}
