/** POST /v1/responses */
import type { GenerationResult } from '../../engine/run.js';
import type { Answer, Call } from '../call.js';
import { Generations } from '../generations.js';
import { openAiResponses } from '../protocol.js';
import { modelRoute } from '../route.js';
import { effortVariablesOf } from '../template-variables.js';
import { ResponseEvents } from './events.js';
import { itemsOf, type OutputItem } from './items.js';
import { conversation, type ResponseBody, responseOptions, responseSchema } from './schema.js';

export const responsesRoute = modelRoute<ResponseBody>({
  method: 'POST',
  path: '/v1/responses',
  protocol: openAiResponses,
  summary: "An answer as items, in OpenAI's newer protocol, nothing kept between requests.",
  schema: responseSchema,
  answer,
});

async function answer(body: ResponseBody, call: Call): Promise<Answer> {
  const generations = new Generations(call, {
    prompts: [conversation(body)],
    n: 1,
    options: responseOptions(body, call.limits.maxTokens),
    variables: effortVariablesOf(body.reasoning?.effort ?? undefined, call),
  });
  const id = call.id.slice(4);
  const bodyOf = (items: readonly OutputItem[], result?: GenerationResult) =>
    responseBody(body, call, items, result);
  if (body.stream) return { events: generations.events(new ResponseEvents({ id, bodyOf })) };
  const [result] = await generations.results();
  return { json: bodyOf(itemsOf(result, id), result) };
}

function responseBody(
  body: ResponseBody,
  { id, created, modelId }: Call,
  items: readonly OutputItem[],
  result: GenerationResult | undefined,
) {
  const isCut = result?.finishReason === 'length';
  const status = result === undefined ? 'in_progress' : isCut ? 'incomplete' : 'completed';
  return {
    id: `resp_${id.slice(4)}`,
    object: 'response',
    created_at: created,
    status,
    error: null,
    incomplete_details: isCut ? { reason: 'max_output_tokens' } : null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    model: modelId,
    // The last item is the one that was cut.
    output: items.map((item, i) => item.body(isCut && i === items.length - 1 ? 'incomplete' : 'completed')),
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: null },
    store: false,
    temperature: body.temperature ?? null,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_p: body.top_p ?? null,
    truncation: 'disabled',
    usage: result === undefined ? null : usageOf(result),
  };
}

function usageOf({ usage: { promptTokens, completionTokens, cachedTokens } }: GenerationResult) {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}
