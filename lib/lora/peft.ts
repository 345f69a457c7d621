/**
 * Reads a folder that PEFT has saved: adapter_config.json and adapter_model.safetensors. What of its configuration changes
 * what the adapter computes is obeyed, or refused by name: scaling (rsLoRA's too), patterns of ranks and alphas by plain
 * names. Fields that say how it was trained are read over.
 */
import { join } from 'node:path';
import * as v from 'valibot';
import { KvasirError } from '../errors.js';
import { fileExists, readJsonObject } from '../formats/json-file.js';
import { cut } from '../given.js';
import { type Container, native, rethrow } from '../native.js';
import type { AdapterFile } from './low-rank.js';
import { damagedAdapter, type Half, readModules, unsupportedAdapter } from './read-modules.js';

const number = v.pipe(v.number(), v.finite());
const patterns = v.optional(v.nullable(v.record(v.string(), number)));
const schema = v.looseObject({
  peft_type: v.string(),
  r: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  lora_alpha: number,
  use_rslora: v.optional(v.nullable(v.boolean())),
  bias: v.optional(v.nullable(v.string())),
  init_lora_weights: v.optional(v.nullable(v.union([v.boolean(), v.string()]))),
  rank_pattern: patterns,
  alpha_pattern: patterns,
  base_model_name_or_path: v.optional(v.nullable(v.string())),
});
type Config = v.InferOutput<typeof schema>;

/** Ways to begin the training that change the weights of the base too. */
const changesBase = /^(pissa|olora|corda|loftq|lora_ga)/i;

/** Fields that say nothing of what is computed, or that are read above. */
const known = new Set([
  ...Object.keys(schema.entries),
  ...['auto_mapping', 'revision', 'task_type', 'inference_mode', 'peft_version', 'runtime_config'],
  ...['target_modules', 'exclude_modules', 'layers_to_transform', 'layers_pattern', 'fan_in_fan_out'],
  ...['lora_dropout', 'megatron_core', 'ensure_weight_tying', 'qalora_group_size'],
  ...['loftq_config', 'eva_config', 'corda_config', 'lora_ga_config', 'velora_config'],
]);

/** As `adapter_config.json` spells them, and in words. */
const refused: Readonly<Record<string, string>> = {
  use_dora: 'DoRA (use_dora)',
  modules_to_save: 'modules that were trained as a whole (modules_to_save)',
  lora_bias: 'biases (lora_bias)',
  trainable_token_indices: 'tokens of its own (trainable_token_indices)',
  layer_replication: 'layers that come twice (layer_replication)',
  target_parameters: 'changes of parameters that are no linears (target_parameters)',
  alora_invocation_tokens: 'tokens that switch it on (alora_invocation_tokens)',
  use_qalora: 'QALoRA (use_qalora)',
  use_bdlora: 'blocks of matrices (use_bdlora)',
  arrow_config: 'a router over several adapters (arrow_config)',
  megatron_config: 'Megatron layers (megatron_config)',
};

function isAsked(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** Throws UNSUPPORTED_ARCHITECTURE naming what cannot be obeyed. */
function checkConfig(path: string, config: Config): void {
  if (config.peft_type !== 'LORA')
    throw unsupportedAdapter(path, `the type ${cut(config.peft_type)} (LORA is)`);
  for (const [name, what] of Object.entries(refused)) {
    if (isAsked(config[name])) throw unsupportedAdapter(path, what);
  }
  const { bias, init_lora_weights: initial } = config;
  if (typeof bias === 'string' && bias !== 'none')
    throw unsupportedAdapter(path, `biases (bias: '${cut(bias)}')`);
  if (typeof initial === 'string' && changesBase.test(initial)) {
    throw unsupportedAdapter(path, `other weights of its base too (init_lora_weights: '${cut(initial)}')`);
  }
  const other = Object.keys(config).find((name) => !known.has(name) && isAsked(config[name]));
  if (other !== undefined && !Object.hasOwn(refused, other))
    throw unsupportedAdapter(path, `the field ${cut(other)} in adapter_config.json`);
}

/** A name that stands for itself; PEFT also takes regular expressions. */
const plainName = /^\^?[\w.]+$/;

/** The value of the first name that a module ends with, as PEFT finds it. Throws UNSUPPORTED_ARCHITECTURE. */
function patternValue(
  path: string,
  field: string,
  pattern: Readonly<Record<string, number>> | null | undefined,
): (module: string) => number | undefined {
  const entries = Object.entries(pattern ?? {});
  const other = entries.find(([name]) => !plainName.test(name));
  if (other) throw unsupportedAdapter(path, `a regular expression in ${field} ('${cut(other[0])}')`);
  const ends = (module: string, name: string): boolean =>
    name.startsWith('^') ? module === name.slice(1) : module === name || module.endsWith(`.${name}`);
  return (module) => entries.find(([name]) => ends(module, name))?.[1];
}

const tensorName = /^(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight$/;

function halfOf(path: string, tensor: string): Half {
  const [, module, side] = tensorName.exec(tensor) ?? [];
  if (module === undefined) throw unsupportedAdapter(path, `the tensor ${cut(tensor, 120)}`);
  return { module, side: side === 'A' ? 'a' : 'b' };
}

/** Of a folder. Throws MODEL_NOT_FOUND, MODEL_FORMAT, UNSUPPORTED_ARCHITECTURE. */
export async function readPeftFolder(folder: string): Promise<AdapterFile> {
  const path = join(folder, 'adapter_config.json');
  const parsed = v.safeParse(schema, await readJsonObject(path));
  if (!parsed.success) {
    const [{ message, path: where }] = parsed.issues;
    throw damagedAdapter(path, `${where?.map(({ key }) => key).join('.') ?? 'it'}: ${message}`);
  }
  const config = parsed.output;
  checkConfig(folder, config);
  const weights = join(folder, 'adapter_model.safetensors');
  if (!(await fileExists(weights))) throw lacksWeights(folder);
  const container = await native().openContainer([weights]).catch(rethrow);
  try {
    return await modulesOf(folder, config, container);
  } finally {
    container.close();
  }
}

async function modulesOf(folder: string, config: Config, container: Container): Promise<AdapterFile> {
  const rankOf = patternValue(folder, 'rank_pattern', config.rank_pattern);
  const alphaOf = patternValue(folder, 'alpha_pattern', config.alpha_pattern);
  const scaleOf = (module: string, rank: number): number => {
    const said = rankOf(module) ?? config.r;
    if (said !== rank) {
      throw damagedAdapter(
        folder,
        `${module} has rank ${rank}, and adapter_config.json says ${said} (r, rank_pattern)`,
      );
    }
    const alpha = alphaOf(module) ?? config.lora_alpha;
    return alpha / (config.use_rslora ? Math.sqrt(rank) : rank);
  };
  return {
    format: 'peft',
    modules: await readModules(folder, container, (tensor) => halfOf(folder, tensor), scaleOf),
    baseModel: config.base_model_name_or_path ?? undefined,
    architecture: undefined,
  };
}

function lacksWeights(folder: string): KvasirError {
  return new KvasirError(
    'MODEL_NOT_FOUND',
    `${folder} has no adapter_model.safetensors. An adapter_model.bin is a Python pickle, which is not read: save the adapter again with PEFT, which writes safetensors.`,
  );
}
