/** The rows of a loaded model's token table, read between its steps. */
import type { Traced } from './text-run.js';

/** What spells a token. */
interface Spelling {
  vocabSize: number;
  tokenSpelling(id: number): string;
}

/** Of the tokens that both the table and the vocabulary have. */
export function tokenRowsOf({ engine, inspection, spec }: Traced, vocabulary: Spelling) {
  return {
    size: Math.min(spec.vocabSize, vocabulary.vocabSize),
    dimensions: spec.hiddenSize,
    spelling: (id: number) => vocabulary.tokenSpelling(id),
    read: (first: number, count: number) =>
      engine.visit(1, () => inspection.weightRows('embed.tokens', first, count)),
  };
}
