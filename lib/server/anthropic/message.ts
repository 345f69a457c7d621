/** POST /v1/messages */
import type { GenerationResult } from '../../engine/run.js';
import { begunConversation } from '../begun-answer.js';
import type { Answer, Call } from '../call.js';
import { Generations } from '../generations.js';
import { anthropic } from '../protocol.js';
import { modelRoute } from '../route.js';
import { stopSequenceOf } from '../stop-sequence.js';
import { MessageEvents } from './events.js';
import { conversation } from './messages.js';
import { type MessageBody, messageOptions, messageSchema, variablesOf } from './schema.js';
import { usageBody } from './usage.js';

export const messageRoute = modelRoute<MessageBody>({
  method: 'POST',
  path: '/v1/messages',
  protocol: anthropic,
  summary: 'An answer to a conversation, in Anthropic’s protocol; with "stream" as server-sent events.',
  schema: messageSchema,
  answer,
});

async function answer(body: MessageBody, call: Call): Promise<Answer> {
  const { messages, begun } = begunConversation(conversation(body.system, body.messages));
  const generations = new Generations(call, {
    prompts: [messages],
    begun,
    n: 1,
    options: messageOptions(body),
    variables: variablesOf(body, call),
  });
  const task = {
    head: headOf(call),
    endOf: (result: GenerationResult) => endOf(result, body, call),
    showsThoughts: body.thinking?.type !== 'disabled',
  };
  if (body.stream) return { events: generations.events(new MessageEvents(task)) };
  const [result] = await generations.results();
  const { delta, usage } = task.endOf(result);
  const content = contentOf(result, task.showsThoughts);
  return { json: { ...task.head, content, ...delta, usage } };
}

export function headOf({ id, modelId }: Call) {
  return { id: `msg_${id.slice(4)}`, type: 'message', role: 'assistant', model: modelId };
}

const reasons = {
  stop: 'end_turn',
  length: 'max_tokens',
  abort: 'end_turn',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
};

/** Why it ended, and figures. */
function endOf(result: GenerationResult, { stop_sequences = [] }: MessageBody, { model }: Call) {
  const stop = stopSequenceOf(result, stop_sequences, model.tokenizer);
  return {
    delta: {
      stop_reason: stop === undefined ? reasons[result.finishReason] : 'stop_sequence',
      stop_sequence: stop ?? null,
    },
    usage: usageBody(result.usage),
  };
}

function contentOf({ text, reasoning, toolCalls = [] }: GenerationResult, showsThoughts: boolean) {
  const content: object[] = [];
  if (reasoning && showsThoughts) content.push({ type: 'thinking', thinking: reasoning, signature: '' });
  if (text !== '' || toolCalls.length === 0) content.push({ type: 'text', text });
  for (const { id, name, arguments: input } of toolCalls) content.push({ type: 'tool_use', id, name, input });
  return content;
}
