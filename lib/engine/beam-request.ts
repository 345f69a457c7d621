/**
 * Beam search: each branch is a beam, and after each step the best continuations of all of them are the new beams, which
 * fork from the branches that they go on from. As `transformers` defines it: of the best candidates those that end within
 * the first `beams` are kept as found, by their log-probability over a power of their length.
 */
import { KvasirError } from '../errors.js';
import { LargestFinder } from '../generation/largest.js';
import { rulesOf } from '../generation/sampler.js';
import type { LogitRow } from '../generation/sampling-options.js';
import type { BeamSettings } from '../generation/search-options.js';
import type { TokenRule } from '../generation/token-rules.js';
import type { StepResult } from '../native.js';
import { invalidOption } from '../options.js';
import { Structure } from '../structure/structure.js';
import { ChoicesRequest, type EndedText } from './choices-request.js';
import {
  CANDIDATES,
  endTokensOf,
  mostTokens,
  outputOf,
  rowOf,
  type StructuredOutcome,
} from './continuation.js';
import type { GenerationTask } from './generation-request.js';
import type { Branch, WantedRow } from './request.js';
import type { FinishReason } from './run.js';

/** A beam with one token more. */
interface Candidate {
  beam: number;
  token: number;
  /** Log-probability of all tokens after the prompt. */
  score: number;
}

/** A beam as it goes on. One whose score is -Infinity only fills a place: a structure may leave fewer ways than beams. */
interface Running extends Candidate {
  structure: Structure | undefined;
}

interface Found {
  tokens: Int32Array;
  /** Log-probability over length to the power of the penalty. */
  score: number;
  finishReason: FinishReason;
  /** It has accepted these tokens and no other. */
  structure: Structure | undefined;
  /** Its structure was closed for want of tokens. */
  closed?: boolean;
}

export class BeamRequest extends ChoicesRequest {
  readonly #settings: BeamSettings;
  /** Texts that come. */
  readonly #n: number;
  readonly #maxTokens: number;
  readonly #ends: ReadonlySet<number>;
  readonly #rules: readonly TokenRule[];
  readonly #fullRows: boolean;
  /** [beams] log-probabilities of the beams. */
  readonly #scores: Float64Array;
  /** [beams] how far each beam's structure has come. */
  #structures: (Structure | undefined)[] = [];
  #candidates: Candidate[] = [];
  /** Beams whose row of this step is there. */
  #taken = 0;
  /** The best first, at most as many as beams. */
  #found: Found[] = [];

  constructor(task: GenerationTask, n: number, settings: BeamSettings) {
    super(task, settings.beams);
    const { settings: given, vocabulary, plan } = task;
    if (plan?.steering) {
      throw invalidOption('beams', settings.beams, 'left out where a budget of reasoning steers the answer');
    }
    this.#settings = settings;
    this.#n = n;
    this.#maxTokens = mostTokens(task);
    this.#ends = endTokensOf(task);
    this.#rules = rulesOf(given.sampling, { ...vocabulary, endTokens: this.#ends });
    const bans = this.#rules.reduce((sum, { most }) => sum + most, 0);
    const candidates = Math.min(CANDIDATES, vocabulary.size);
    const { structure } = task;
    if (structure) this.#structures = [new Structure(structure, this.#maxTokens, this.#ends)];
    this.#fullRows =
      structure !== undefined || (this.#wanted + bans > candidates && candidates < vocabulary.size);
    this.#scores = new Float64Array(settings.beams);
  }

  /** Of one row no more can matter: as many that go on as there are beams, and every end. */
  get #wanted(): number {
    return this.#settings.beams + this.#ends.size;
  }

  override get paused(): boolean {
    return false;
  }

  wantedRows(count: number, branch: Branch): WantedRow[] {
    if (count < this.remaining(branch)) return [];
    return [{ position: branch.length - 1, temperature: 1, fullLogits: this.#fullRows, target: -1 }];
  }

  take(result: StepResult, first: number, _count: number, now: number, branch: Branch): void {
    this.tick(now);
    this.#collect(branch, rowOf(result, first));
    // All beams begin with the prompt's row.
    const rows = branch.length === this.shared ? 1 : this.branches.length;
    if (++this.#taken < rows) return;
    this.#taken = 0;
    this.#choose();
  }

  override emit(): void {
    if (this.settled && !this.task.run.settled) this.#end();
  }

  abort(): void {
    if (this.settled) return;
    const generated = this.branch.length - this.shared;
    for (const [i, { tokens, length }] of this.branches.entries()) {
      if (generated === 0 && i > 0) break;
      if (this.#scores[i] === Number.NEGATIVE_INFINITY) continue;
      const own = tokens.slice(this.shared, length);
      this.#keep({
        tokens: own,
        score: this.#scored(this.#scores[i], Math.max(1, generated)),
        finishReason: 'abort',
        structure: this.#structures[i],
      });
    }
    this.settled = true;
    this.emit();
  }

  #collect(branch: Branch, row: LogitRow): void {
    const banned = new Set<number>();
    const history = branch.tokens.subarray(0, branch.length);
    for (const rule of this.#rules) rule.apply(history, branch.length - this.shared, (id) => banned.add(id));
    const beam = this.branches.indexOf(branch);
    const before = this.#scores[beam];
    if (before === Number.NEGATIVE_INFINITY) return;
    const mask = this.#structures[beam]?.mask(this.#maxTokens - branch.length + this.shared);
    const allowed = mask ? this.task.buffers.masked.row(row, mask, 1) : row;
    for (const [token, logit] of largest(allowed, banned, this.#wanted)) {
      this.#candidates.push({ beam, token, score: before + (logit - row.logSumExp1) });
    }
  }

  #choose(): void {
    const { beams, earlyStopping } = this.#settings;
    // Equal ones keep the order of beams and tokens.
    const best = this.#candidates.sort((a, b) => b.score - a.score);
    this.#candidates = [];
    const generated = this.branch.length - this.shared + 1;
    const isLast = generated >= this.#maxTokens;
    const running: Running[] = [];
    for (const [i, candidate] of best.entries()) {
      if (i >= beams && running.length === beams) break;
      const isEnd = this.#ends.has(candidate.token);
      const structure = isEnd ? this.#structures[candidate.beam] : this.#after(candidate);
      const isOver = isEnd || structure?.over === true;
      if (i < beams && (isOver || isLast)) this.#keepWith(candidate, generated, isOver, structure);
      if (!isOver && running.length < beams) running.push({ ...candidate, structure });
    }
    if (this.task.structure && running.length > 0) {
      while (running.length < beams) running.push({ ...running[0], score: Number.NEGATIVE_INFINITY });
    }
    this.generated += beams;
    const isFull = this.#found.length === beams;
    const reach = earlyStopping === 'never' && this.#settings.lengthPenalty > 0 ? this.#maxTokens : generated;
    if (running.length < beams && !isLast) this.#leave(running, generated);
    const mayGain =
      running.length === beams &&
      (!isFull || this.#scored(running[0].score, reach) > this.#found[beams - 1].score);
    if (isLast || !mayGain || (earlyStopping === true && isFull)) this.settled = true;
    else this.#goOn(running);
  }

  #after({ beam, token }: Candidate): Structure | undefined {
    const structure = this.#structures[beam]?.fork();
    structure?.accept(token);
    return structure;
  }

  /** A beam that ends with a candidate. @param isOver it need not have gone on */
  #keepWith(
    { beam, token, score }: Candidate,
    generated: number,
    isOver: boolean,
    structure: Structure | undefined,
  ): void {
    const { tokens, length } = this.branches[beam];
    const own = tokens.slice(this.shared, length + 1);
    own[own.length - 1] = token;
    this.#keep({
      tokens: this.#ends.has(token) ? own.subarray(0, -1) : own,
      score: this.#scored(score, generated),
      finishReason: isOver ? 'stop' : 'length',
      structure,
      closed: structure?.closed,
    });
  }

  /** Rules leave too few tokens to go on with: that is the end. Throws INVALID_OPTION where there is none at all. */
  #leave(running: readonly Running[], generated: number): void {
    for (const { beam, token, score, structure } of running) {
      const { tokens, length } = this.branches[beam];
      const own = Int32Array.of(...tokens.subarray(this.shared, length), token);
      this.#keep({ tokens: own, score: this.#scored(score, generated), finishReason: 'length', structure });
    }
    if (this.#found.length > 0) return;
    throw new KvasirError('INVALID_OPTION', 'Every token is forbidden (badWords, noRepeatNgram, minTokens).');
  }

  #goOn(running: readonly Running[]): void {
    const own = this.branches.map(({ tokens, length }) => tokens.slice(this.shared, length));
    const begins = this.branch.length === this.shared;
    this.#structures = running.map(({ structure }) => structure);
    running.forEach(({ beam, token, score }, i) => {
      const branch = this.branches[i];
      branch.tokens.set(own[beam], this.shared);
      branch.length = this.shared + own[beam].length;
      branch.tokens[branch.length++] = token;
      this.#scores[i] = score;
    });
    // At the beginning the others hold nothing yet, and will fork from the prompt.
    if (!begins && running.some(({ beam }, i) => beam !== i)) this.parents = running.map(({ beam }) => beam);
  }

  #scored(score: number, length: number): number {
    return score / length ** this.#settings.lengthPenalty;
  }

  #keep(found: Found): void {
    this.#found = [...this.#found, found].sort((a, b) => b.score - a.score).slice(0, this.#settings.beams);
  }

  #end(): void {
    const texts = this.#found.slice(0, this.#n).map((found) => this.#read(found));
    this.finishAtOnce(texts);
  }

  #read({ tokens, score, finishReason, structure, closed }: Found): EndedText {
    const output = outputOf(this.task, []);
    const pieces = output.begin(this.task.settings.prompt.answerPrefix ?? '');
    pieces.push(...[...tokens].flatMap((token) => output.push(token, false)));
    pieces.push(...output.flush(false));
    const text = pieces.map((piece) => (piece.type === 'text' ? piece.text : '')).join('');
    const calls = output.answer?.calls.length ?? 0;
    return {
      text,
      tokens: [...tokens],
      finishReason: finishReason === 'stop' && calls > 0 ? 'tool_calls' : finishReason,
      answer: output.answer,
      score,
      outcome: this.#outcome(structure, text, { closed, isAnswer: finishReason !== 'abort' && calls === 0 }),
    };
  }

  #outcome(
    structure: Structure | undefined,
    text: string,
    { closed = false, isAnswer }: { closed: boolean | undefined; isAnswer: boolean },
  ): StructuredOutcome | undefined {
    if (!structure) return undefined;
    if (!structure.hasFormat) return closed ? { closed } : {};
    const object = structure.complete && isAnswer ? structure.object(text) : undefined;
    return object === undefined ? { closed } : { object, closed };
  }
}

/** The `count` tokens with the largest logits that are not banned, the largest first, equal ones by the lower id. */
function largest(row: LogitRow, banned: ReadonlySet<number>, count: number): [number, number][] {
  const found: [number, number][] = [];
  for (let i = 0; i < row.ids.length && found.length < count; i++) {
    if (!banned.has(row.ids[i])) found.push([row.ids[i], row.logits[i]]);
  }
  if (found.length === count || row.complete || !row.full) return found;
  const values = row.full.slice();
  for (const id of banned) values[id] = Number.NEGATIVE_INFINITY;
  const ids = new Int32Array(Math.min(count, values.length - banned.size));
  new LargestFinder(values.length).find(values, values.length, ids.length, ids);
  return Array.from(ids, (id) => [id, values[id]]);
}
