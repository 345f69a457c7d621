/** The JSON files beside the weights of the INT8 form, which `hf-folder.ts` reads back. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GenerationDefaults, ModelDescription } from './description.js';
import { feedForwardOf, firstAttention, layerCount } from '../spec.js';
import { int8Format } from './int8-form.js';

async function writeJson(path: string, value: object): Promise<void> {
  await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** The spec in the words of Hugging Face, for people and other tools; we read the one in the weights' metadata. */
function configOf({ architecture, spec }: ModelDescription): object {
  const attention = firstAttention(spec);
  return {
    model_type: architecture,
    vocab_size: spec.vocabSize,
    hidden_size: spec.hiddenSize,
    num_hidden_layers: layerCount(spec),
    num_attention_heads: attention?.heads,
    num_key_value_heads: attention?.kvHeads,
    head_dim: attention?.headDim,
    intermediate_size: feedForwardOf(spec, 0).size,
    max_position_embeddings: spec.maxPositions,
    quantization_config: { quant_method: int8Format, bits: 8 },
  };
}

function generationConfigOf(defaults: GenerationDefaults): object {
  const { eosTokenIds, bosTokenId, padTokenId, repetitionPenalty, ...sampling } = defaults;
  const { temperature, topP, topK, minP, typicalP } = sampling;
  return {
    eos_token_id: eosTokenIds,
    bos_token_id: bosTokenId,
    pad_token_id: padTokenId,
    do_sample: Object.keys(sampling).length > 0,
    temperature,
    top_p: topP,
    top_k: topK,
    min_p: minP,
    typical_p: typicalP,
    repetition_penalty: repetitionPenalty,
  };
}

/** Writes config.json and generation_config.json. */
export async function writeInt8Configs(description: ModelDescription, folder: string): Promise<void> {
  await writeJson(join(folder, 'config.json'), configOf(description));
  await writeJson(join(folder, 'generation_config.json'), generationConfigOf(description.generationDefaults));
}
