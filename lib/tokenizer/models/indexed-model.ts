/** What all models have that keep their vocabulary in a TokenIndex. */
import type { Spellings, TokenSink, WordModel } from './model.js';
import type { TokenIndex } from './token-index.js';

export abstract class IndexedModel implements WordModel {
  constructor(readonly index: TokenIndex) {}

  get size(): number {
    return this.index.count;
  }

  get idEnd(): number {
    return this.index.idEnd;
  }

  idOf(token: string): number | undefined {
    return this.index.get(token);
  }

  tokenOf(id: number): string | undefined {
    return this.index.spelling(id);
  }

  spellings(): Spellings {
    return this.index.spellings();
  }

  abstract encode(text: string, from: number, to: number, tokens: TokenSink): void;
}
