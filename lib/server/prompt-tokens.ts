/** The tokens of a conversation as `generate` would compute them, tools told and all. */
import type { GenerateOptions } from '../options.js';
import { parseGenerateOptions } from '../options.js';
import type { Message } from '../prompt.js';
import { prepareChat } from '../tools/chat.js';
import type { Call } from './call.js';

/** @returns ids [tokens]. Rejects as `generate` does. */
export async function promptTokens(
  { model, signal }: Call,
  messages: readonly Message[],
  options: GenerateOptions,
  variables?: Record<string, unknown>,
): Promise<Int32Array> {
  const { chat } = parseGenerateOptions(options, {}, model.info.vocabSize);
  return (await prepareChat(model.tokenizer, { messages, settings: chat, variables, signal })).ids;
}
