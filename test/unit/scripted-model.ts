/** What `Model` does with a conversation, over a real engine and tokenizer and a native model that writes what it is told. */
import { Engine } from '../../lib/engine/engine.js';
import { guardedRun } from '../../lib/engine/guarded-run.js';
import { launch } from '../../lib/engine/launch.js';
import type { Generation, GenerationChunk } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import type { Message } from '../../lib/prompt.js';
import { prepareChat } from '../../lib/tools/chat.js';
import { native as addon } from '../../lib/native.js';
import { Structures } from '../../lib/structure/structure.js';
import { structureVocabularyOf, vocabularyOf } from '../../lib/vocabulary.js';
import { chatTokenizer } from './chat-tokenizer.js';
import { ScriptedNative } from './scripted-native.js';

export const special = ['<end>', '<turn>', '<think>', '</think>'];
const END = 200;
const vocabSize = 300;

export interface ScriptedModel {
  tokenizer: Awaited<ReturnType<typeof chatTokenizer>>['tokenizer'];
  native: ScriptedNative;
  idsOf(text: string): number[];
  /** The next answers. */
  next(...scripts: string[]): void;
  generate(messages: readonly Message[], options?: GenerateOptions): Generation;
  /** Prompts so far, special tokens spelled. */
  prompts: string[];
  close(): Promise<void>;
}

export async function scriptedModel(template: string): Promise<ScriptedModel> {
  const { tokenizer, idsOf, close } = await chatTokenizer(template, special);
  const native = new ScriptedNative(END, { vocabSize });
  const engine = new Engine(native, 4000);
  const generator = {
    engine,
    contextLength: 4000,
    vocabulary: vocabularyOf(tokenizer, vocabSize, [END]),
    buffers: new SamplerBuffers(vocabSize),
    structures: new Structures(addon, structureVocabularyOf(tokenizer, vocabSize, [END])),
  };
  const prompts: string[] = [];
  return {
    tokenizer,
    native,
    idsOf,
    prompts,
    next: (...scripts) => {
      for (const script of scripts) native.next(idsOf(script));
    },
    generate: (messages, options = {}) => {
      const settings = parseGenerateOptions({ maxTokens: 1000, ...options }, {}, vocabSize);
      const run = launch(generator, {
        settings,
        cache: { reuse: true },
        encode: async (signal) => {
          const prepared = await prepareChat(tokenizer, { messages, settings: settings.chat, signal });
          prompts.push(tokenizer.decode(prepared.ids, { skipSpecialTokens: false }));
          return prepared;
        },
      });
      return settings.hooks.guard ? guardedRun(run, settings.hooks.guard) : run;
    },
    close: async () => {
      await engine.dispose();
      await close();
    },
  };
}

export async function chunksOf(run: Generation): Promise<GenerationChunk[]> {
  const chunks: GenerationChunk[] = [];
  for await (const chunk of run) chunks.push(chunk);
  return chunks;
}
