/** POST /tokenize, /detokenize and /apply-template: texts and tokens, under the names of llama.cpp and of vLLM. */
import * as v from 'valibot';
import type { Answer, Call } from '../call.js';
import { invalid } from '../failure.js';
import { bool, integer, text } from '../fields.js';
import { promptTokens } from '../prompt-tokens.js';
import { openAi } from '../protocol.js';
import { modelRoute } from '../route.js';
import { chatMessages, messageSchema } from './messages.js';
import { toolOptions, toolsSchema } from './tools.js';

const messages = v.pipe(v.array(messageSchema), v.minLength(1));

const tokenizeSchema = v.strictObject({
  model: v.optional(text),
  content: v.optional(text),
  prompt: v.optional(text),
  messages: v.optional(messages),
  tools: v.optional(toolsSchema),
  add_special: v.optional(bool),
  add_special_tokens: v.optional(bool),
  with_pieces: v.optional(bool),
});
type TokenizeBody = v.InferOutput<typeof tokenizeSchema>;

export const tokenizeRoute = modelRoute<TokenizeBody>({
  method: 'POST',
  path: '/tokenize',
  protocol: openAi,
  summary: 'Tokens of a text ("content" or "prompt") or of a conversation ("messages").',
  schema: tokenizeSchema,
  answer: async (body, call): Promise<Answer> => {
    const ids = await idsOf(body, call);
    const { tokenizer, info } = call.model;
    const tokens = body.with_pieces
      ? Array.from(ids, (id) => ({ id, piece: tokenizer.tokenText(id) }))
      : Array.from(ids);
    return { json: { tokens, count: ids.length, max_model_len: info.contextLength } };
  },
});

async function idsOf(body: TokenizeBody, call: Call): Promise<Int32Array> {
  const { content, prompt, tools } = body;
  const given = [content, prompt, body.messages].filter((one) => one !== undefined);
  if (given.length !== 1)
    throw invalid('Give one of content, prompt and messages.', 'content', 'invalid_value');
  if (body.messages !== undefined) {
    return promptTokens(call, chatMessages(body.messages), toolOptions({ tools }));
  }
  // llama.cpp's name for a text goes with its default, vLLM's with vLLM's.
  const addSpecialTokens = body.add_special ?? body.add_special_tokens ?? content === undefined;
  const whole = content ?? prompt ?? '';
  return call.model.tokenizer.encodeAsync(whole, { addSpecialTokens, signal: call.signal });
}

const detokenizeSchema = v.strictObject({
  model: v.optional(text),
  tokens: v.array(integer(0, 2 ** 31 - 1)),
});

export const detokenizeRoute = modelRoute<v.InferOutput<typeof detokenizeSchema>>({
  method: 'POST',
  path: '/detokenize',
  protocol: openAi,
  summary: 'The text of tokens.',
  schema: detokenizeSchema,
  answer: async ({ tokens }, { model }): Promise<Answer> => {
    const { tokenizer } = model;
    const wrong = tokens.findIndex((id) => id >= tokenizer.vocabSize);
    if (wrong >= 0) {
      throw invalid(`Token ids are below ${tokenizer.vocabSize}.`, `tokens[${wrong}]`, 'invalid_value');
    }
    const decoded = tokenizer.decode(tokens, { skipSpecialTokens: false });
    return { json: { content: decoded, prompt: decoded } };
  },
});

const templateSchema = v.strictObject({
  model: v.optional(text),
  messages,
  tools: v.optional(toolsSchema),
  add_generation_prompt: v.optional(bool),
  chat_template_kwargs: v.optional(v.record(v.string(), v.unknown())),
});

export const applyTemplateRoute = modelRoute<v.InferOutput<typeof templateSchema>>({
  method: 'POST',
  path: '/apply-template',
  protocol: openAi,
  summary: "A conversation as the model's chat template writes it.",
  schema: templateSchema,
  answer: async (body, { model, signal }): Promise<Answer> => {
    const prompt = await model.tokenizer.applyChatTemplateAsync(chatMessages(body.messages), {
      tools: body.tools,
      addGenerationPrompt: body.add_generation_prompt,
      variables: body.chat_template_kwargs,
      signal,
    });
    return { json: { prompt } };
  },
});
