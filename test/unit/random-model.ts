/** What `Model` does with a conversation, over a real engine and tokenizer and a native model that writes at random. */
import { enlist } from '../../lib/engine/draft-model.js';
import { Engine } from '../../lib/engine/engine.js';
import { guardedRun } from '../../lib/engine/guarded-run.js';
import { launch } from '../../lib/engine/launch.js';
import type { Generation } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { native } from '../../lib/native.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import type { Message } from '../../lib/prompt.js';
import { Structures } from '../../lib/structure/structure.js';
import { prepareChat } from '../../lib/tools/chat.js';
import { structureVocabularyOf, vocabularyOf } from '../../lib/vocabulary.js';
import { chatTokenizer } from './chat-tokenizer.js';
import { FakeNative } from './engine-fake.js';

const END = 200;
const vocabSize = 300;

export interface RandomModel {
  /** @param adapter what `loadAdapter` of a native model would give */
  generate(messages: readonly Message[], options?: GenerateOptions, adapter?: number): Generation;
  close(): Promise<void>;
}

/**
 * @param special its tokens, of which the first ends texts.
 * @param draft stands for it where it drafts.
 */
export async function randomModel(
  template: string,
  special: readonly string[],
  draft: object = {},
): Promise<RandomModel> {
  const { tokenizer, close } = await chatTokenizer(template, special);
  const engine = new Engine(new FakeNative({ vocabSize, kvCapacity: 16_384 }), 4000);
  const known = vocabularyOf(tokenizer, vocabSize, [END]);
  const generator = {
    engine,
    contextLength: 4000,
    vocabulary: known,
    buffers: new SamplerBuffers(vocabSize),
    structures: new Structures(native, structureVocabularyOf(tokenizer, vocabSize, [END])),
  };
  enlist(draft, generator, true);
  return {
    generate: (messages, options = {}, adapter) => {
      const settings = parseGenerateOptions(options, {}, vocabSize);
      const { guard } = settings.hooks;
      const run = launch(generator, {
        settings,
        cache: { reuse: true },
        adapter,
        encode: (signal) => prepareChat(tokenizer, { messages, settings: settings.chat, signal }),
      });
      return guard ? guardedRun(run, guard) : run;
    },
    close: async () => {
      await engine.dispose();
      await close();
    },
  };
}
