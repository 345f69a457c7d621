/** POST /v1/chat/completions */
import * as v from 'valibot';
import type { GenerationChunk, GenerationResult } from '../../engine/run.js';
import type { GenerateOptions } from '../../options.js';
import { begunConversation } from '../begun-answer.js';
import type { Answer, Call } from '../call.js';
import { invalid } from '../failure.js';
import { bool, callerFields, count, integer, samplingFields, streamOptions, text } from '../fields.js';
import { Generations } from '../generations.js';
import { openAi } from '../protocol.js';
import { modelRoute } from '../route.js';
import type { EventWriter, RunPart } from '../run-events.js';
import { effortVariablesOf } from '../template-variables.js';
import { formatFields, formatOptionsOf, responseFormatSchema } from '../format.js';
import { ChoiceEvents, doneEvent } from './choice-events.js';
import { chatLogprobs } from './logprobs.js';
import { chatMessages, messageSchema } from './messages.js';
import { samplingOptions } from './sampling.js';
import { callBody, callDelta, toolChoiceSchema, toolOptions, toolsSchema } from './tools.js';
import { fingerprintOf, finishReasonOf, usageBody } from './usage.js';

const schema = v.strictObject({
  model: v.optional(text),
  messages: v.pipe(v.array(messageSchema), v.minLength(1)),
  ...samplingFields,
  ...callerFields,
  max_tokens: v.optional(count),
  max_completion_tokens: v.optional(count),
  n: v.optional(integer(1, 128)),
  logprobs: v.optional(bool),
  top_logprobs: v.optional(integer(0, 20)),
  stream: v.optional(bool),
  stream_options: v.optional(streamOptions),
  tools: v.optional(toolsSchema),
  tool_choice: v.optional(toolChoiceSchema),
  parallel_tool_calls: v.optional(bool),
  reasoning_effort: v.optional(v.picklist(['none', 'minimal', 'low', 'medium', 'high', 'xhigh'])),
  response_format: v.optional(responseFormatSchema),
  ...formatFields,
  chat_template_kwargs: v.optional(v.record(v.string(), v.unknown())),
  continue_final_message: v.optional(bool),
  add_generation_prompt: v.optional(bool),
  // What asks for nothing else than there is.
  store: v.optional(v.literal(false)),
  modalities: v.optional(v.tuple([v.literal('text')])),
  service_tier: v.optional(v.picklist(['auto', 'default'])),
});

type Body = v.InferOutput<typeof schema>;

export const chatRoute = modelRoute<Body>({
  method: 'POST',
  path: '/v1/chat/completions',
  protocol: openAi,
  summary: 'An answer to a conversation, in OpenAI’s protocol; with "stream" as server-sent events.',
  schema,
  answer,
});

async function answer(body: Body, call: Call): Promise<Answer> {
  const options = { ...optionsOf(body, call), ...toolOptions(body), ...formatOptionsOf(body) };
  const variables = { ...effortVariablesOf(body.reasoning_effort, call), ...body.chat_template_kwargs };
  const { messages, begun } = conversationOf(body);
  const generations = new Generations(call, {
    prompts: [messages],
    begun,
    n: body.n ?? 1,
    options,
    variables,
    streams: body.stream,
  });
  if (body.stream) {
    const withUsage = body.stream_options?.include_usage === true;
    return { events: generations.events(new ChatEvents(call, generations, withUsage)) };
  }
  return { json: await completion(body, call, generations) };
}

/** Throws a Failure. */
function conversationOf({ messages: given, continue_final_message, add_generation_prompt }: Body) {
  const messages = chatMessages(given);
  // A new answer, or more of the last one: nothing else is generated.
  if (add_generation_prompt === (continue_final_message === true)) {
    throw invalid(
      'An answer is a new one (add_generation_prompt), or more of the last one (continue_final_message).',
      'add_generation_prompt',
      'unsupported_value',
    );
  }
  if (continue_final_message !== true) return { messages, begun: '' };
  if (messages.at(-1)?.role === 'assistant') return begunConversation(messages);
  throw invalid('The last message is no answer to go on with.', 'continue_final_message', 'invalid_value');
}

/** Throws a Failure. */
function optionsOf(body: Body, { limits }: Call): GenerateOptions {
  if (body.max_tokens !== undefined && body.max_completion_tokens !== undefined) {
    throw invalid('max_tokens is the older name of max_completion_tokens: give one.', 'max_tokens');
  }
  if (body.stream_options !== undefined && body.stream !== true) {
    throw invalid("stream_options needs 'stream'.", 'stream_options', 'invalid_value');
  }
  if (body.top_logprobs !== undefined && body.logprobs !== true) {
    throw invalid("top_logprobs needs 'logprobs'.", 'top_logprobs', 'invalid_value');
  }
  const options = samplingOptions(body);
  options.maxTokens = body.max_completion_tokens ?? body.max_tokens ?? limits.maxTokens;
  if (body.logprobs) options.logprobs = body.top_logprobs ?? 0;
  return options;
}

function headOf({ id, created, modelId, model }: Call, object: string) {
  return {
    id: `chatcmpl-${id.slice(4)}`,
    object,
    created,
    model: modelId,
    system_fingerprint: fingerprintOf(model),
  };
}

async function completion(body: Body, call: Call, generations: Generations): Promise<unknown> {
  const results = await generations.results();
  const { tokenizer } = call.model;
  const choice = (result: GenerationResult, index: number) => ({
    index,
    message: messageOf(result),
    logprobs: body.logprobs ? chatLogprobs(tokenizer, result.logprobs ?? []) : null,
    finish_reason: finishReasonOf(result.finishReason),
  });
  return {
    ...headOf(call, 'chat.completion'),
    choices: results.map(choice),
    usage: usageBody(generations.usageOf(results)),
  };
}

function messageOf({ text, reasoning, toolCalls = [] }: GenerationResult) {
  return {
    role: 'assistant',
    content: text === '' && toolCalls.length > 0 ? null : text,
    refusal: null,
    ...(reasoning === undefined ? {} : { reasoning_content: reasoning }),
    ...(toolCalls.length > 0 ? { tool_calls: toolCalls.map(callBody) } : {}),
  };
}

/** As JSON. */
function deltaOf(chunk: GenerationChunk): string {
  if (chunk.type === 'tool-call') return JSON.stringify(callDelta(chunk));
  const text = JSON.stringify(chunk.text);
  return chunk.type === 'reasoning' ? `{"reasoning_content":${text}}` : `{"content":${text}}`;
}

class ChatEvents implements EventWriter {
  readonly #chunks: ChoiceEvents;
  readonly #begun = new Set<number>();

  constructor(
    private readonly call: Call,
    private readonly generations: Generations,
    private readonly withUsage: boolean,
  ) {
    this.#chunks = new ChoiceEvents(headOf(call, 'chat.completion.chunk'), withUsage);
  }

  part({ index, chunk, result }: RunPart): string {
    const begin = this.#begin(index);
    if (chunk === undefined) return begin + this.#event(index, '{}', finishReasonOf(result.finishReason));
    const { logprobs } = chunk;
    const told = logprobs && JSON.stringify(chatLogprobs(this.call.model.tokenizer, logprobs));
    return begin + this.#event(index, deltaOf(chunk), undefined, told);
  }

  end(results: readonly GenerationResult[]): string {
    const { generations, withUsage } = this;
    return (withUsage ? this.#chunks.usage(usageBody(generations.usageOf(results))) : '') + doneEvent;
  }

  #begin(index: number): string {
    if (this.#begun.has(index)) return '';
    this.#begun.add(index);
    return this.#event(index, '{"role":"assistant","content":""}');
  }

  /** @param delta and @param logprobs as JSON */
  #event(index: number, delta: string, finish?: string, logprobs = 'null'): string {
    const reason = finish === undefined ? 'null' : JSON.stringify(finish);
    return this.#chunks.event(
      `{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${reason}}`,
    );
  }
}
