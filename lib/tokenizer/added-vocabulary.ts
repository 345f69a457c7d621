/** The added tokens of a definition with the ids that the reference gives them, and what finds them in texts. */
import { KvasirError } from '../errors.js';
import { alignedText } from './aligned-text.js';
import { AddedTokenSplitter } from './added-tokens.js';
import type { AddedTokenEntry } from './definition.js';
import type { WordModel } from './models/model.js';
import type { Normalizer } from './normalizers/normalizer.js';
import { heapBytes } from './work.js';

/** Splitters for a text as it is written, and for what the normalizer made of the rest. */
export interface Splitters {
  written: AddedTokenSplitter;
  normalized: AddedTokenSplitter;
}

/** Each takes a kilobyte, with all its tables. */
const mostAdded = Math.min(2 ** 20, heapBytes / 1024);

export class AddedVocabulary {
  readonly #byContent = new Map<string, AddedTokenEntry>();
  readonly #byId = new Map<number, AddedTokenEntry>();
  /** Of tokens that are looked for after normalizing, where it differs from the content. */
  readonly #normalizedText = new Map<number, string>();
  readonly #late: (token: AddedTokenEntry) => boolean;
  #chat: Splitters | undefined;
  readonly raw: Splitters;

  /** A token that the model has keeps the model's id; others are numbered behind it, in order, whatever the file says. */
  constructor(tokens: readonly AddedTokenEntry[], model: WordModel, normalizer: Normalizer | undefined) {
    if (tokens.length > mostAdded) {
      throw new KvasirError(
        'LIMIT_EXCEEDED',
        `The tokenizer has ${tokens.length} added tokens; at most ${mostAdded} are supported.`,
      );
    }
    let nextId = model.size;
    for (const token of tokens) {
      const known = this.#byContent.get(token.content)?.id ?? model.idOf(token.content);
      const entry = known === token.id ? token : { ...token, id: known ?? nextId++ };
      this.#byContent.set(token.content, entry);
      this.#byId.set(entry.id, entry);
    }
    const late = (token: AddedTokenEntry): boolean => token.normalized ?? !token.special;
    this.#late = late;
    for (const token of this.#byId.values()) {
      if (!late(token) || normalizer === undefined) continue;
      const { text } = normalizer(alignedText(token.content, 0, false));
      if (text !== token.content) this.#normalizedText.set(token.id, text);
    }
    this.raw = this.#splitters(
      (token) => !late(token),
      (token) => late(token),
    );
  }

  /** For rendered chats: special tokens are found as they are written, never after normalizing. */
  get chat(): Splitters {
    this.#chat ??= this.#splitters(
      (token) => token.special || !this.#late(token),
      (token) => !token.special && this.#late(token),
    );
    return this.#chat;
  }

  get tokens(): Iterable<AddedTokenEntry> {
    return this.#byId.values();
  }

  idOf(content: string): number | undefined {
    return this.#byContent.get(content)?.id;
  }

  /** How a decoder sees it: as it is looked for. */
  tokenOf(id: number): string | undefined {
    return this.#normalizedText.get(id) ?? this.#byId.get(id)?.content;
  }

  /** Left out of texts: by its spelling, as the reference asks, and not by its id. */
  isSpecial(id: number): boolean {
    const text = this.tokenOf(id);
    return text !== undefined && this.#byContent.get(text)?.special === true;
  }

  get idEnd(): number {
    let end = 0;
    for (const id of this.#byId.keys()) end = Math.max(end, id + 1);
    return end;
  }

  #splitters(
    written: (token: AddedTokenEntry) => boolean,
    normalized: (token: AddedTokenEntry) => boolean,
  ): Splitters {
    const all = [...this.#byId.values()];
    return {
      written: new AddedTokenSplitter(
        all.filter(written).map((token): [string, AddedTokenEntry] => [token.content, token]),
      ),
      normalized: new AddedTokenSplitter(
        all
          .filter(normalized)
          .map((token): [string, AddedTokenEntry] => [
            this.#normalizedText.get(token.id) ?? token.content,
            token,
          ]),
      ),
    };
  }
}
