/** POST /v1/messages/count_tokens */
import { anthropic } from '../protocol.js';
import { begunConversation } from '../begun-answer.js';
import { promptTokens } from '../prompt-tokens.js';
import { modelRoute } from '../route.js';
import { conversation } from './messages.js';
import { type CountBody, conversationOptions, countSchema, variablesOf } from './schema.js';

export const countTokensRoute = modelRoute<CountBody>({
  method: 'POST',
  path: '/v1/messages/count_tokens',
  protocol: anthropic,
  summary: 'How many tokens a conversation has, in Anthropic’s protocol.',
  schema: countSchema,
  answer: async (body, call) => {
    const { messages, begun } = begunConversation(conversation(body.system, body.messages));
    const ids = await promptTokens(call, messages, conversationOptions(body), variablesOf(body, call));
    const { model, signal } = call;
    const behind = await model.tokenizer.encodeAsync(begun, { addSpecialTokens: false, signal });
    return { json: { input_tokens: ids.length + behind.length } };
  },
});
