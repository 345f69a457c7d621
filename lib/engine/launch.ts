/**
 * From a prompt and its options to a run: encodes off the JS thread, then hands the request to the engine. An abort
 * takes effect at once, before, while and after that.
 */
import { isKvasirError } from '../errors.js';
import type { SamplerBuffers } from '../generation/sampler.js';
import { fromNative } from '../native.js';
import { type GenerateSettings, invalidOption } from '../options.js';
import { type Engine, overflowError } from './engine.js';
import { GenerationRequest, type GenerationTask, type Vocabulary } from './generation-request.js';
import type { AnswerPlan } from '../output/plan.js';
import { BeamRequest } from './beam-request.js';
import { endTokensOf } from './continuation.js';
import type { CacheUse, Request } from './request.js';
import { SamplesRequest } from './samples-request.js';
import type { CreateSource } from './draft-source.js';
import { draftSources } from './draft-sources.js';
import { isConstrained, isPromised } from '../structure/answer-shape.js';
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

interface Encoded {
  ids: Int32Array;
  plan?: AnswerPlan;
  droppedTokens?: number;
}

export interface Launch {
  /** Gives the ids of the prompt, and how its answer is read; rejects when the signal is aborted. */
  encode(signal: AbortSignal): Promise<Int32Array | Encoded>;
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
  const submit = (
    { ids: prompt, plan, droppedTokens }: Encoded,
    structure: CompiledStructure | undefined,
    drafts: CreateSource | undefined,
  ) => {
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
      plan,
      structure,
      drafts,
      draftsForced: generator.engine.rollsBack,
      droppedTokens,
    });
    generator.engine.submit(request);
  };
  if (signal?.aborted) {
    end();
    return run;
  }
  signal?.addEventListener('abort', end, { once: true });
  const start = async () => {
    const given = await encode(encoding.signal);
    if (run.settled) return;
    const encoded = ArrayBuffer.isView(given) ? { ids: given } : given;
    checkPrompt(encoded.ids, generator);
    const structure = await structureOf(generator, settings, encoded.plan);
    const { answerPrefix } = settings.prompt;
    if (structure && answerPrefix)
      throw invalidOption(
        'answerPrefix',
        answerPrefix,
        'left out where a structure or tools shape the answer',
      );
    const drafts = await draftSources(settings.speculate, generator);
    if (!run.settled) submit(encoded, structure, drafts);
  };
  start().catch((error) => run.fail(fromNative(error)));
  return run;
}

/** Rejects with INVALID_OPTION, LIMIT_EXCEEDED, UNSUPPORTED_ARCHITECTURE. */
async function structureOf(
  { structures, vocabulary }: Generator,
  settings: GenerateSettings,
  plan: AnswerPlan | undefined,
): Promise<CompiledStructure | undefined> {
  const { responseFormat: format } = settings;
  // Without thoughts and calls the answer is the same for all prompts.
  const shape = plan?.shape;
  const task = { format, shape: shape?.calls || shape?.thought || shape?.messages ? shape : undefined };
  if (!isConstrained(task)) return undefined;
  const ends = [...endTokensOf({ settings, vocabulary, plan })];
  try {
    return await structures.compile(task.shape ? { ...task, ends } : { format });
  } catch (error) {
    // Tokens that cannot be told apart: the model is left alone where nothing was promised.
    if (isKvasirError(error) && error.code === 'UNSUPPORTED_ARCHITECTURE' && !isPromised(task))
      return undefined;
    throw error;
  }
}

/** Throws INVALID_OPTION. */
export function requestOf(task: GenerationTask): Request {
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
