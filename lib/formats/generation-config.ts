/**
 * What config.json and generation_config.json say about generating. Values that count are checked as the options of `generate`
 * are; -1 is what its writers mean by it: no such token, and no top-k.
 */
import * as v from 'valibot';
import { parseConfig } from '../config-schema.js';
import { KvasirError } from '../errors.js';
import { boolean, generateRules, type Rule } from '../options.js';
import type { GenerationDefaults } from './description.js';
import { readJsonObject } from './json-file.js';

const tokenId = v.pipe(v.number(), v.safeInteger(), v.minValue(-1));
const tokenIds = v.nullish(v.union([tokenId, v.array(tokenId)]));

const idsSchema = v.looseObject({
  eos_token_id: tokenIds,
  bos_token_id: tokenIds,
  pad_token_id: tokenIds,
});

const file = 'generation_config.json';

/** Names in the file, and as options; these count only where `do_sample` is true. */
const sampling = [
  ['temperature', 'temperature'],
  ['top_p', 'topP'],
  ['top_k', 'topK'],
  ['min_p', 'minP'],
  ['typical_p', 'typicalP'],
] as const;

function idsOf(ids: v.InferOutput<typeof tokenIds>): number[] | undefined {
  const used = [ids ?? []].flat().filter((id) => id !== -1);
  return used.length > 0 ? used : undefined;
}

/** Throws MODEL_FORMAT with what is there and what may be. */
function checked<Value>(given: Record<string, unknown>, key: string, rule: Rule): Value | undefined {
  const value = given[key] ?? undefined;
  if (value === undefined) return undefined;
  if (key === 'top_k' && value === -1) return 0 as Value;
  if (rule.fits(value)) return value as Value;
  const shown = (typeof value === 'number' ? String(value) : JSON.stringify(value)).slice(0, 60);
  throw new KvasirError(
    'MODEL_FORMAT',
    `${file} cannot be used. ${key} is ${shown}; it must be ${rule.allowed}.`,
  );
}

function samplingOf(given: Record<string, unknown>): Partial<GenerationDefaults> {
  if (!checked<boolean>(given, 'do_sample', boolean)) return {};
  // Who samples without saying how means the model's own distribution.
  const defaults: Partial<GenerationDefaults> = { temperature: 1 };
  for (const [key, option] of sampling) {
    const value = checked<number>(given, key, generateRules[option]);
    if (value !== undefined) defaults[option] = value;
  }
  return defaults;
}

/**
 * The file's token ids win over those of config.json, as in the reference; a model of several parts may say them with that of
 * text alone. Throws MODEL_FORMAT.
 */
export async function generationDefaults(
  path: string | undefined,
  config: Record<string, unknown>,
): Promise<GenerationDefaults> {
  const given = path === undefined ? {} : await readJsonObject(path);
  const own = parseConfig(idsSchema, given, file);
  const model = parseConfig(idsSchema, { ...Object(config.text_config), ...config });
  const ids = (name: keyof typeof idsSchema.entries) => idsOf(own[name]) ?? idsOf(model[name]);
  const [bos] = ids('bos_token_id') ?? [];
  const [pad] = ids('pad_token_id') ?? [];
  const penalty = checked<number>(given, 'repetition_penalty', generateRules.repetitionPenalty);
  return {
    eosTokenIds: ids('eos_token_id') ?? [],
    ...(bos !== undefined ? { bosTokenId: bos } : {}),
    ...(pad !== undefined ? { padTokenId: pad } : {}),
    ...(penalty !== undefined ? { repetitionPenalty: penalty } : {}),
    ...samplingOf(given),
  };
}
