/**
 * From a prompt and its options to a run: encodes off the JS thread, then hands the request to the engine. An abort
 * takes effect at once, before, while and after that.
 */
import type { SamplerBuffers } from '../generation/sampler.js';
import { fromNative } from '../native.js';
import { type GenerateSettings, invalidOption } from '../options.js';
import { type Engine, overflowError } from './engine.js';
import { GenerationRequest, type Vocabulary } from './generation-request.js';
import type { AnswerPlan } from '../output/plan.js';
import { BeamRequest } from './beam-request.js';
import type { ChoicesTask } from './choices-request.js';
import type { CacheUse, Request } from './request.js';
import { SamplesRequest } from './samples-request.js';
import { besideError } from '../structure/response-format.js';
import type { CompiledStructure, Structures } from '../structure/structure.js';
import { type Generation, type GenerationResult, GenerationRun } from './run.js';

/** What all generations of a model share. */
export interface Generator {
  engine: Engine;
  contextLength: number;
  vocabulary: Vocabulary;
  buffers: SamplerBuffers;
  structures: Structures;
}

export interface Launch {
  /** Gives the ids of the prompt, and how its answer is read; rejects when the signal is aborted. */
  encode(
    signal: AbortSignal,
  ): Promise<Int32Array | { ids: Int32Array; plan?: AnswerPlan; droppedTokens?: number }>;
  settings: GenerateSettings;
  cache: CacheUse;
  /** What `loadAdapter` gave. Default: none. */
  adapter?: number;
  /** Called at once when the outcome is there; `undefined`: it failed. */
  onSettled?(result: GenerationResult | undefined): void;
}

export function launch(
  generator: Generator,
  { encode, settings, cache, adapter, onSettled }: Launch,
): Generation {
  const createdAt = performance.now();
  const run = new GenerationRun();
  const encoding = new AbortController();
  let request: Request | undefined;
  const end = () => {
    encoding.abort();
    if (request) generator.engine.cancel(request);
    else run.finish(nothing(settings), []);
  };
  const { signal } = settings;
  run.attach({
    onDemand: () => generator.engine.wake(),
    onCancel: end,
    onSettled: (result) => {
      signal?.removeEventListener('abort', end);
      onSettled?.(result);
    },
  });
  const submit = ([encoded, structure]: [
    Awaited<ReturnType<Launch['encode']>>,
    CompiledStructure | undefined,
  ]) => {
    if (run.settled) return;
    const {
      ids: prompt,
      plan,
      droppedTokens,
    }: Exclude<typeof encoded, Int32Array> = encoded instanceof Int32Array ? { ids: encoded } : encoded;
    checkPrompt(prompt, generator);
    if (structure && plan?.hasTools) throw besideError('tools');
    const { contextLength, vocabulary, buffers } = generator;
    request = requestOf({
      run,
      prompt,
      settings,
      contextLength,
      vocabulary,
      buffers,
      cache,
      adapter,
      createdAt,
      plan: structure ? undefined : plan,
      structure,
      droppedTokens,
    });
    generator.engine.submit(request);
  };
  if (signal?.aborted) {
    end();
    return run;
  }
  signal?.addEventListener('abort', end, { once: true });
  const { responseFormat } = settings;
  Promise.all([encode(encoding.signal), responseFormat && generator.structures.compile(responseFormat)])
    .then(submit)
    .catch((error) => run.fail(fromNative(error)));
  return run;
}

/** Throws INVALID_OPTION. */
export function requestOf(task: ChoicesTask): Request {
  const { search } = task.settings;
  if (!search) return new GenerationRequest(task);
  return search.beams ? new BeamRequest(task, search.n, search.beams) : new SamplesRequest(task, search);
}

/** Throws INVALID_OPTION or CONTEXT_OVERFLOW. */
function checkPrompt(prompt: Int32Array, { contextLength, vocabulary }: Generator): void {
  if (prompt.length === 0) throw invalidOption('prompt', 'empty', 'at least one token long');
  // First, because looking at 100,000 ids takes the event loop 4 ms.
  if (prompt.length > contextLength) {
    throw overflowError(prompt.length, contextLength, 'the context', 'contextLength');
  }
  const wrong = prompt.find((id) => id < 0 || id >= vocabulary.size);
  if (wrong !== undefined) throw invalidOption('prompt', wrong, `token ids from 0 to ${vocabulary.size - 1}`);
}

/** The outcome of a run that was aborted before its prompt was known. */
function nothing(settings: GenerateSettings): GenerationResult {
  const result: GenerationResult = {
    text: '',
    tokens: [],
    finishReason: 'abort',
    usage: { promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
    timings: { ttftMs: 0, prefillTokensPerSecond: 0, decodeTokensPerSecond: 0 },
  };
  if (settings.logprobs !== undefined) result.logprobs = [];
  return result;
}
