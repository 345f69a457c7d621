/** Fields that several routes have, as schemas. Numbers are ranges that `generate` takes. */
import * as v from 'valibot';

export const text = v.string();
export const bool = v.boolean();
export const integer = (least: number, most: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(least), v.maxValue(most));
export const range = (least: number, most: number) =>
  v.pipe(v.number(), v.finite(), v.minValue(least), v.maxValue(most));
export const fraction = v.pipe(v.number(), v.gtValue(0), v.maxValue(1));
export const count = integer(1, Number.MAX_SAFE_INTEGER);
/** What nothing is done with: a number of the client's own. */
export const metadata = v.record(v.string(), v.unknown());

const stopText = v.pipe(v.string(), v.minLength(1));

/** Of every route that generates in OpenAI's manner, with what vLLM and llama.cpp add. */
export const samplingFields = {
  temperature: v.optional(range(0, 100)),
  top_p: v.optional(fraction),
  top_k: v.optional(integer(0, Number.MAX_SAFE_INTEGER)),
  min_p: v.optional(range(0, 1)),
  typical_p: v.optional(fraction),
  repetition_penalty: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1000))),
  repeat_penalty: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1000))),
  presence_penalty: v.optional(range(-2, 2)),
  frequency_penalty: v.optional(range(-2, 2)),
  logit_bias: v.optional(v.record(v.pipe(v.string(), v.regex(/^\d{1,9}$/)), range(-100, 100))),
  seed: v.optional(integer(0, Number.MAX_SAFE_INTEGER)),
  stop: v.optional(v.union([stopText, v.pipe(v.array(stopText), v.maxLength(64))])),
  ignore_eos: v.optional(bool),
};

/** One text, or several. */
export const textsField = v.union([text, v.pipe(v.array(text), v.minLength(1))]);

/** Of OpenAI's bodies: who asks, which is nothing to the model. */
export const callerFields = {
  user: v.optional(text),
  metadata: v.optional(metadata),
  safety_identifier: v.optional(text),
  prompt_cache_key: v.optional(text),
};

export const streamOptions = v.strictObject({
  include_usage: v.optional(bool),
  include_obfuscation: v.optional(v.literal(false)),
});
