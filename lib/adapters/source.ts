/** What a chat model of a framework needs of a loaded model. */
import type { Generation } from '../engine/run.js';
import { invalidOption, reading } from '../given.js';
import { Model, startGeneration } from '../model.js';
import type { GenerateOptions } from '../options.js';
import type { Message } from '../prompt.js';

export interface ChatSource {
  readonly name: string;
  readonly chatTemplate: string | undefined;
  /** Tokens that a prompt and its answer have room for. */
  readonly contextLength: number;
  /** Of a text alone. */
  count(text: string): Promise<number>;
  /** @param variables what the chat template knows besides */
  generate(
    messages: readonly Message[],
    options: GenerateOptions,
    variables: Record<string, unknown>,
  ): Generation;
}

/** Throws INVALID_OPTION for what is no loaded model. */
export function loadedModel(given: unknown): Model {
  // Even asking what it is may throw.
  if (reading('The model', () => given instanceof Model)) return given as Model;
  throw invalidOption('model', given, 'a Model, as Model.load gives it');
}

export function chatSource(model: Model): ChatSource {
  const { info, tokenizer } = model;
  return {
    name: info.name,
    chatTemplate: tokenizer.chatTemplate,
    contextLength: info.contextLength,
    count: (text) => tokenizer.count(text, { addSpecialTokens: false }),
    generate: (messages, options, variables) => startGeneration(model, messages, options, { variables }),
  };
}
