/** Reads `tokenizer.json` and its companions. Blocking work of tens of milliseconds: for the worker thread only. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { parseConfig } from '../architectures/config-schema.js';
import { KvasirError } from '../errors.js';
import {
  addedTokenSchema,
  type Component,
  type NamedTemplate,
  type SpecialTokens,
  type TokenizerDefinition,
  type TokenizerJson,
} from './definition.js';
import type { TokenizerSource } from './source.js';

const component = z.looseObject({ type: z.string() }).nullish();

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedTokenSchema).default([]),
  normalizer: component,
  pre_tokenizer: component,
  post_processor: component,
  decoder: component,
  // Not looked into: zod would copy a vocabulary of 100,000 entries.
  model: z.custom<TokenizerJson['model']>(
    (value) => typeof value === 'object' && value !== null && 'vocab' in value,
  ),
});

const tokenText = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();

const configSchema = z.looseObject({
  bos_token: tokenText,
  eos_token: tokenText,
  unk_token: tokenText,
  pad_token: tokenText,
  chat_template: z
    .union([z.string(), z.array(z.looseObject({ name: z.string(), template: z.string() }))])
    .nullish(),
});

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new KvasirError('MODEL_NOT_FOUND', `Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KvasirError('MODEL_FORMAT', `${path} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/** The type of a model is optional in old files; it shows in what the model has. */
function typedModel(model: TokenizerJson['model']): TokenizerJson['model'] {
  if (typeof model.type === 'string') return model;
  return { ...model, type: 'merges' in model ? 'BPE' : Array.isArray(model.vocab) ? 'Unigram' : 'WordLevel' };
}

function templates(config: z.infer<typeof configSchema>, path: string | undefined): NamedTemplate[] {
  const listed: NamedTemplate[] =
    typeof config.chat_template === 'string'
      ? [{ name: 'default', template: config.chat_template }]
      : (config.chat_template ?? []).map(({ name, template }) => ({ name, template }));
  if (path === undefined) return listed;
  return [{ name: 'default', template: readText(path) }, ...listed.filter(({ name }) => name !== 'default')];
}

function specialTokens(config: z.infer<typeof configSchema>): SpecialTokens {
  const text = (token: z.infer<typeof tokenText>): string | undefined =>
    typeof token === 'object' && token !== null ? token.content : (token ?? undefined);
  return {
    bos: text(config.bos_token),
    eos: text(config.eos_token),
    unk: text(config.unk_token),
    pad: text(config.pad_token),
  };
}

/** Throws MODEL_NOT_FOUND or MODEL_FORMAT. */
export function definitionFromFiles(
  source: Extract<TokenizerSource, { kind: 'tokenizer-json' }>,
): TokenizerDefinition {
  const parsed = parseConfig(tokenizerSchema, readJson(source.path), 'tokenizer.json');
  const config = source.configPath
    ? parseConfig(configSchema, readJson(source.configPath), 'tokenizer_config.json')
    : {};
  const optional = (value: z.infer<typeof component>): Component | null => value ?? null;
  return {
    json: {
      added_tokens: parsed.added_tokens,
      normalizer: optional(parsed.normalizer),
      pre_tokenizer: optional(parsed.pre_tokenizer),
      post_processor: optional(parsed.post_processor),
      decoder: optional(parsed.decoder),
      model: typedModel(parsed.model),
    },
    specialTokens: specialTokens(config),
    chatTemplates: templates(config, source.chatTemplatePath),
  };
}
