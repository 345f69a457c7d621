/** Why a token: the row of logits through each stage of the sampler, to the draw. */
import type { LogitRow } from '../generation/sampling-options.js';
import type { SamplerWatch } from '../generation/sampler-watch.js';
import type { Shortlist } from '../generation/shortlist.js';
import type { Candidate } from './predictions.js';

export interface SamplerStage {
  /**
   * 'logits': what the model gave; 'penalties': with all that changes logits; 'temperature', 'topK' and what else
   * `samplers` names, 'mirostat', 'greedy'. Stages that change nothing are left out. 'penalties and temperature': both at once.
   */
  stage: string;
  /** Tokens that may still be drawn. */
  left: number;
  /**
   * The most probable of them, equal ones by the lower id; no more than later stages look at. `probability` is that of the draw,
   * were it made here.
   */
  top: Candidate[];
}

export interface Draw {
  /** Of the token that was drawn; behind the last one: it ended the text, and is no part of it. */
  position: number;
  id: number;
  text: string;
  /** The number in [0, 1) that drew; absent where one token was left. */
  uniform?: number;
  stages: SamplerStage[];
}

interface Entry {
  id: number;
  logit: number;
  weight: number;
}

export class DrawRecorder implements SamplerWatch {
  readonly draws: Draw[] = [];
  #stages: SamplerStage[] = [];
  #uniform: number | undefined;

  /** @param position of the first token that will be drawn @param count candidates of each stage */
  constructor(
    private readonly position: number,
    private readonly vocabSize: number,
    private readonly count: number,
    private readonly textOf: (id: number) => string,
  ) {}

  begin({ ids, logits, logSumExp1 }: LogitRow): void {
    this.#uniform = undefined;
    const top = Array.from(ids.subarray(0, this.count), (id, i) =>
      this.#candidate({ id, logit: logits[i]!, weight: Math.exp(logits[i]! - logSumExp1) }, 1),
    );
    this.#stages = [{ stage: 'logits', left: this.vocabSize, top }];
  }

  passed(stage: string, list: Shortlist): void {
    const total = list.total();
    const top = largest(list, this.count).map((entry) => this.#candidate(entry, total));
    this.#stages.push({ stage, left: list.complete ? list.n : this.vocabSize, top });
  }

  drew(uniform: number): void {
    this.#uniform = uniform;
  }

  chose(id: number): void {
    this.draws.push({
      position: this.position + this.draws.length,
      id,
      text: this.textOf(id),
      ...(this.#uniform === undefined ? {} : { uniform: this.#uniform }),
      stages: this.#stages,
    });
  }

  #candidate({ id, logit, weight }: Entry, total: number): Candidate {
    return { id, text: this.textOf(id), logit, probability: weight / total };
  }
}

/** The entries of the greatest weight, equal ones by the lower id. */
function largest({ ids, logits, weights, n }: Shortlist, count: number): Entry[] {
  const found: Entry[] = [];
  for (let i = 0; i < n; i++) {
    const one = { id: ids[i]!, logit: logits[i]!, weight: weights[i]! };
    if (found.length === count && !precedes(one, found.at(-1)!)) continue;
    let at = found.length;
    while (at > 0 && precedes(one, found[at - 1]!)) --at;
    found.splice(at, 0, one);
    if (found.length > count) found.pop();
  }
  return found;
}

function precedes(a: Entry, b: Entry): boolean {
  return a.weight > b.weight || (a.weight === b.weight && a.id < b.id);
}
