/** Prompt lookup as a source of drafts: it costs no time that would have to pay. */
import type { Proposal } from '../speculation/proposal.js';
import { LOOKUP_CHANCES, PromptLookup } from '../speculation/prompt-lookup.js';
import type { DraftSource } from './draft-source.js';

export class LookupSource implements DraftSource {
  readonly expected = LOOKUP_CHANCES;
  readonly waiting = false;
  readonly #lookup: PromptLookup;

  constructor(positions: number) {
    this.#lookup = new PromptLookup(positions);
  }

  propose(tokens: Int32Array, length: number, most: number): Proposal {
    return this.#lookup.propose(tokens, length, most);
  }

  end(): void {}
}
