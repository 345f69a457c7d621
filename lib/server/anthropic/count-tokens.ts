/** POST /v1/messages/count_tokens */
import { anthropic } from '../protocol.js';
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
    const messages = conversation(body.system, body.messages);
    const ids = await promptTokens(call, messages, conversationOptions(body), variablesOf(body, call));
    return { json: { input_tokens: ids.length } };
  },
});
