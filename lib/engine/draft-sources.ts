/** From the option `speculate` to a source of drafts for each text of a request. */
import { MOST_DRAFTED, type Speculate, speculateError } from '../speculation/options.js';
import type { Vocabulary } from './continuation.js';
import { DraftModelSource, drafterOf, requireSameVocabulary } from './draft-model.js';
import type { Engine } from './engine.js';
import type { CreateSource } from './draft-source.js';
import { LookupSource } from './lookup-source.js';

/** Tokens that a draft model drafts where the caller names no number. */
const DEFAULT_TOKENS = 6;

/** Rejects with INVALID_OPTION for what cannot be, DISPOSED for a draft model that is gone. Undefined: nothing is drafted. */
export async function draftSources(
  speculate: Speculate,
  { engine, vocabulary }: { engine: Engine; vocabulary: Vocabulary },
): Promise<CreateSource | undefined> {
  if (speculate === false) return undefined;
  if (!engine.rollsBack) {
    throw speculateError(speculate, 'left out: this model has layers whose state cannot go back');
  }
  if (speculate === 'prompt') return (_prompt, positions) => new LookupSource(positions);
  const drafter = drafterOf(speculate);
  await requireSameVocabulary(vocabulary, drafter.vocabulary, speculate);
  const most = Math.min(speculate.tokens ?? DEFAULT_TOKENS, MOST_DRAFTED);
  const wake = () => engine.wake();
  return (prompt, positions) => new DraftModelSource({ drafter, most, prompt, positions, wake });
}
