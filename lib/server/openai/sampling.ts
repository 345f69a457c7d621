/** From the fields of a body to options of `generate`. */
import * as v from 'valibot';
import type { GenerateOptions } from '../../options.js';
import { invalid } from '../failure.js';
import { samplingFields } from '../fields.js';

const schema = v.object(samplingFields);
export type SamplingFields = v.InferOutput<typeof schema>;

/** Throws a Failure for two names of one option. */
export function samplingOptions(body: SamplingFields): GenerateOptions {
  if (body.repetition_penalty !== undefined && body.repeat_penalty !== undefined) {
    throw invalid('repeat_penalty is another name of repetition_penalty: give one.', 'repeat_penalty');
  }
  const options: GenerateOptions = {
    temperature: body.temperature,
    topP: body.top_p,
    topK: body.top_k,
    minP: body.min_p,
    typicalP: body.typical_p,
    repetitionPenalty: body.repetition_penalty ?? body.repeat_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: body.logit_bias,
    seed: body.seed,
    stop: body.stop,
    ignoreEos: body.ignore_eos,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
