/** POST /v1/completions: texts that go on, or that fill a gap. */
import * as v from 'valibot';
import type { GenerationResult } from '../../engine/run.js';
import type { GenerateOptions } from '../../options.js';
import type { Prompt } from '../../prompt.js';
import type { Answer, Call } from '../call.js';
import { invalid } from '../failure.js';
import { bool, callerFields, integer, samplingFields, streamOptions, text } from '../fields.js';
import { fillPrompt } from '../fill-in-the-middle.js';
import { formatFields, formatOptionsOf } from '../format.js';
import { Generations } from '../generations.js';
import { openAi } from '../protocol.js';
import { modelRoute } from '../route.js';
import type { EventWriter, RunPart } from '../run-events.js';
import { ChoiceEvents, doneEvent } from './choice-events.js';
import { completionLogprobs } from './logprobs.js';
import { samplingOptions } from './sampling.js';
import { fingerprintOf, finishReasonOf, usageBody } from './usage.js';

const ids = v.pipe(v.array(integer(0, 2 ** 31 - 1)), v.minLength(1));

const schema = v.strictObject({
  model: v.optional(text),
  prompt: v.union([text, ids, v.pipe(v.array(v.union([text, ids])), v.minLength(1))]),
  suffix: v.optional(text),
  ...samplingFields,
  ...callerFields,
  max_tokens: v.optional(integer(1, Number.MAX_SAFE_INTEGER)),
  n: v.optional(integer(1, 128)),
  best_of: v.optional(integer(1, 128)),
  logprobs: v.optional(integer(0, 20)),
  echo: v.optional(bool),
  stream: v.optional(bool),
  stream_options: v.optional(streamOptions),
  ...formatFields,
});

type Body = v.InferOutput<typeof schema>;

/** OpenAI's own default. */
const DEFAULT_MAX_TOKENS = 16;

export const completionsRoute = modelRoute<Body>({
  method: 'POST',
  path: '/v1/completions',
  protocol: openAi,
  summary: 'Texts that go on, or fill the gap before "suffix"; with "stream" as server-sent events.',
  schema,
  answer,
});

async function answer(body: Body, call: Call): Promise<Answer> {
  const options = optionsOf(body);
  const prompts = await promptsOf(body, call);
  const n = body.n ?? 1;
  const generations = new Generations(call, { prompts, n, options, streams: body.stream });
  const echoes = body.echo ? prompts.map((prompt) => textOf(prompt, call)) : prompts.map(() => '');
  const task = { call, generations, n, echoes };
  if (body.stream) {
    const withUsage = body.stream_options?.include_usage === true;
    return { events: generations.events(new CompletionEvents(task, withUsage)) };
  }
  return { json: await completion(task) };
}

interface Task {
  call: Call;
  generations: Generations;
  n: number;
  /** What stands before the answers to each prompt. */
  echoes: readonly string[];
}

/** Throws a Failure. */
function optionsOf(body: Body): GenerateOptions {
  if (body.stream_options !== undefined && body.stream !== true) {
    throw invalid("stream_options needs 'stream'.", 'stream_options', 'invalid_value');
  }
  const { n = 1, best_of = n } = body;
  if (best_of < n) throw invalid("best_of must be at least 'n'.", 'best_of', 'invalid_value');
  if (best_of > n && body.stream) {
    throw invalid(
      'The best of several answers are known at the end: no stream.',
      'best_of',
      'unsupported_value',
    );
  }
  if (body.echo && body.logprobs !== undefined) {
    throw invalid(
      'The log-probabilities of a prompt are not given: echo or logprobs.',
      'echo',
      'unsupported_value',
    );
  }
  if (body.echo && body.suffix !== undefined) {
    throw invalid("An answer between two texts has no echo: leave out 'echo'.", 'echo', 'unsupported_value');
  }
  const options = samplingOptions(body);
  options.maxTokens = body.max_tokens ?? DEFAULT_MAX_TOKENS;
  if (body.logprobs !== undefined) options.logprobs = body.logprobs;
  if (best_of > n) options.bestOf = best_of;
  return { ...options, ...formatOptionsOf(body) };
}

function isIds(prompt: Body['prompt']): prompt is number[] {
  return Array.isArray(prompt) && typeof prompt[0] === 'number';
}

async function promptsOf({ prompt, suffix }: Body, call: Call): Promise<Prompt[]> {
  const list = typeof prompt === 'string' || isIds(prompt) ? [prompt] : prompt;
  const prompts = list.map((one) => (typeof one === 'string' ? one : Int32Array.from(one)));
  if (suffix === undefined) return prompts;
  return Promise.all(prompts.map((one) => fillPrompt(call, one, suffix)));
}

function textOf(prompt: Prompt, { model }: Call): string {
  if (typeof prompt === 'string') return prompt;
  const { tokenizer } = model;
  return tokenizer.decode((prompt as Int32Array).filter((id) => id < tokenizer.vocabSize));
}

function headOf({ id, created, modelId, model }: Call) {
  return {
    id: `cmpl-${id.slice(4)}`,
    object: 'text_completion',
    created,
    model: modelId,
    system_fingerprint: fingerprintOf(model),
  };
}

async function completion({ call, generations, n, echoes }: Task): Promise<unknown> {
  const results = await generations.results();
  const choice = ({ text, logprobs, finishReason }: GenerationResult, index: number) => ({
    index,
    text: echoes[Math.floor(index / n)] + text,
    logprobs: logprobs ? completionLogprobs(logprobs, 0) : null,
    finish_reason: finishReasonOf(finishReason),
  });
  return { ...headOf(call), choices: results.map(choice), usage: usageBody(generations.usageOf(results)) };
}

class CompletionEvents implements EventWriter {
  readonly #chunks: ChoiceEvents;
  /** Length of the tokens of each answer so far; absent: it has not begun. */
  readonly #offsets = new Map<number, number>();

  constructor(
    private readonly task: Task,
    private readonly withUsage: boolean,
  ) {
    this.#chunks = new ChoiceEvents(headOf(task.call), withUsage);
  }

  part({ index, chunk, result }: RunPart): string {
    const { echoes, n } = this.task;
    const echo = this.#offsets.has(index) ? '' : echoes[Math.floor(index / n)];
    if (chunk === undefined)
      return this.#event(index, echo, 'null', JSON.stringify(finishReasonOf(result.finishReason)));
    const offset = this.#offsets.get(index) ?? 0;
    const { logprobs } = chunk;
    this.#offsets.set(index, logprobs ? offset + lengthOf(logprobs) : offset);
    const told = logprobs ? JSON.stringify(completionLogprobs(logprobs, offset)) : 'null';
    return this.#event(index, echo + chunk.text, told, 'null');
  }

  end(results: readonly GenerationResult[]): string {
    const { withUsage } = this;
    const { generations } = this.task;
    return (withUsage ? this.#chunks.usage(usageBody(generations.usageOf(results))) : '') + doneEvent;
  }

  /** @param logprobs and @param finish as JSON */
  #event(index: number, text: string, logprobs: string, finish: string): string {
    return this.#chunks.event(
      `{"index":${index},"text":${JSON.stringify(text)},"logprobs":${logprobs},"finish_reason":${finish}}`,
    );
  }
}

function lengthOf(logprobs: readonly { text: string }[]): number {
  return logprobs.reduce((sum, { text }) => sum + text.length, 0);
}
