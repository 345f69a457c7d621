/** The registry of families. A new one is a file here and a line in the list below. */
import { KvasirError } from '../errors.js';
import { type Family, type GgufFacts, planOf } from './family.js';
import { GgufKeys, type GgufMetadata } from './gguf-keys.js';
import { bert } from './bert.js';
import { cohere2 } from './cohere2.js';
import { distilbert } from './distilbert.js';
import { ernie45 } from './ernie45.js';
import { ernie45Moe } from './ernie45-moe.js';
import { eurobert } from './eurobert.js';
import { exaone4 } from './exaone4.js';
import { falcon } from './falcon.js';
import { gemma } from './gemma.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { glm4 } from './glm4.js';
import { glm4Moe } from './glm4-moe.js';
import { gptNeox } from './gpt-neox.js';
import { gptOss } from './gpt-oss.js';
import { granite } from './granite.js';
import { graniteMoe, graniteMoeShared } from './granite-moe.js';
import { gte, newGte } from './gte.js';
import { hunyuan } from './hunyuan.js';
import { hunyuanMoe } from './hunyuan-moe.js';
import { jinaBertV2, jinaOr } from './jina-bert-v2.js';
import { lfm2 } from './lfm2.js';
import { ministral3 } from './ministral3.js';
import { modernbert } from './modernbert.js';
import { mpnet } from './mpnet.js';
import { nomicBert } from './nomic-bert.js';
import { olmo2 } from './olmo2.js';
import { olmo3 } from './olmo3.js';
import { phi2 } from './phi2.js';
import { phi3 } from './phi3.js';
import { roberta, xlmRoberta } from './roberta.js';
import { seedOss } from './seed-oss.js';
import { smollm3 } from './smollm3.js';
import { stablelm } from './stablelm.js';
import { starcoder2 } from './starcoder2.js';
import { gpt2 } from './gpt2.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { mixtral } from './mixtral.js';
import { olmoe } from './olmoe.js';
import { qwen2 } from './qwen2.js';
import { qwen2Moe } from './qwen2-moe.js';
import { qwen3 } from './qwen3.js';
import { qwen3Moe } from './qwen3-moe.js';
import { qwen3Next } from './qwen3-next.js';
import { qwen35 } from './qwen35.js';
import { qwen35Moe } from './qwen35-moe.js';
import type { ModelSpec } from '../spec.js';
import type { ArchitecturePlan, Place } from './plan.js';
import { notText, textConfigOf, withinWhole } from './text-part.js';

export type { ArchitecturePlan, Place, StoredTensor, View } from './plan.js';

const families: readonly Family[] = [
  llama,
  mistral,
  qwen2,
  qwen3,
  gpt2,
  cohere2,
  ernie45,
  exaone4,
  falcon,
  gemma,
  gemma2,
  gemma3,
  glm4,
  gptNeox,
  granite,
  hunyuan,
  lfm2,
  ministral3,
  olmo2,
  olmo3,
  phi2,
  phi3,
  seedOss,
  smollm3,
  stablelm,
  starcoder2,
  mixtral,
  qwen2Moe,
  qwen3Moe,
  qwen3Next,
  qwen35,
  qwen35Moe,
  olmoe,
  graniteMoe,
  graniteMoeShared,
  gptOss,
  glm4Moe,
  ernie45Moe,
  hunyuanMoe,
  bert,
  roberta,
  xlmRoberta,
  distilbert,
  mpnet,
  modernbert,
  nomicBert,
  gte,
  newGte,
  eurobert,
  jinaBertV2,
];

const byModelType: ReadonlyMap<unknown, Family> = new Map(families.map((one) => [one.modelType, one]));
const byGgufArchitecture: ReadonlyMap<unknown, Family> = new Map(
  families
    .filter(({ fromGguf }) => fromGguf !== undefined)
    .flatMap((one) => [one.ggufArchitecture].flat().map((name) => [name, one] as const)),
);

export const supportedArchitectures: readonly string[] = families.map(({ modelType }) => modelType);

function familyOf(from: ReadonlyMap<unknown, Family>, name: unknown, where: string): Family {
  const found = from.get(name);
  if (found) return found;
  const said = name === undefined ? 'is missing' : `is ${JSON.stringify(name)?.slice(0, 60)}`;
  throw new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `${where} ${said}; supported are ${[...from.keys()].join(', ')}.`,
  );
}

/** From the parsed `config.json` of a Hugging Face folder, or from what it says of text. */
export function planFromConfig(config: Readonly<Record<string, unknown>>): ArchitecturePlan {
  const text = textConfigOf(config);
  const type = jinaOr((text ?? config).model_type, text ?? config);
  const where = `model_type in ${text ? 'text_config of ' : ''}config.json`;
  const family = familyOf(byModelType, type, where);
  const configured = family.fromConfig(text ?? config);
  if (text === undefined) return planOf(family, 0, configured);
  const ignored = [...(configured.ignored ?? []), notText];
  return planOf(withinWhole(family), 0, { ...configured, ignored });
}

/**
 * From GGUF metadata.
 * @param embeddingRows rows of the stored token table
 * @param tensor the values of a small tensor, or undefined where there is none
 */
export function planFromGguf(
  metadata: GgufMetadata,
  embeddingRows: number,
  tensor: GgufFacts['tensor'] = () => undefined,
): ArchitecturePlan {
  const name = metadata['general.architecture'];
  const family = familyOf(byGgufArchitecture, name, 'general.architecture in the GGUF file');
  const facts = { keys: new GgufKeys(metadata, String(name)), embeddingRows, tensor };
  return planOf(family, 1, family.fromGguf!(facts));
}

/** What checkpoints of one format call the tensors of a family, whichever a model was loaded from. */
export interface StoredNames {
  /** Of a canonical tensor. */
  places(canonical: string): readonly Place[];
  /** `general.architecture` of its GGUF files. */
  ggufArchitectures: readonly string[];
  /** See Family. */
  ggufTurnsHeads: boolean;
}

/** @param architecture `modelType` of a family */
export function storedNamesOf(architecture: string, format: 'hf' | 'gguf', spec: ModelSpec): StoredNames {
  const family = familyOf(byModelType, architecture, 'The architecture');
  const configured = { spec, head: 'optional', bias: 'optional', normBias: 'optional' } as const;
  const plans =
    format === 'gguf'
      ? [planOf(family, 1, configured)]
      : [planOf(family, 0, configured), planOf(withinWhole(family), 0, configured)];
  return {
    places: (canonical) => {
      const places = plans.flatMap(({ source }) => source(canonical)?.places ?? []);
      return [...new Map(places.map((place) => [place.name, place])).values()];
    },
    ggufArchitectures: [family.ggufArchitecture ?? []].flat(),
    ggufTurnsHeads: family.ggufTurnsHeads === true,
  };
}
