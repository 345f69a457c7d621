/** RoBERTa and XLM-RoBERTa: BERT whose positions are counted from behind the padding token. */
import * as v from 'valibot';
import { index, parseConfig } from '../config-schema.js';
import { bert, bertFromConfig } from './bert.js';
import type { Family } from './family.js';

const paddingSchema = v.looseObject({ pad_token_id: v.optional(index, 1) });

/** Their GGUF files say "bert". */
function robertaFamily(modelType: string): Family {
  const { layers, names } = bert;
  return {
    modelType,
    layers,
    prefixes: ['', 'roberta.'],
    names,
    fromConfig: (raw) => bertFromConfig(modelType, raw, parseConfig(paddingSchema, raw).pad_token_id + 1),
  };
}

export const roberta = robertaFamily('roberta');
export const xlmRoberta = robertaFamily('xlm-roberta');
