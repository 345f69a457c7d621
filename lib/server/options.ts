/** The options of `createHandler`, validated once. */
import { availableMemory } from '../memory.js';
import { Model } from '../model.js';
import {
  boolean,
  callback,
  integer,
  invalidOption,
  isRecord,
  list,
  number,
  parseOptions,
  type Rule,
  reading,
} from '../given.js';
import { parseLoadOptions } from '../options.js';
import { type Speculate, speculateRules } from '../speculation/options.js';
import type { KeyOptions } from './keys.js';
import type { ServedModel } from './pool.js';

export interface ServerLimits {
  /** Requests of one model that run at a time. Default 64, which is what one step of a model holds. */
  concurrent?: number;
  /** Requests that wait; beyond, they are refused with 429. Default 256. */
  queue?: number;
  /** Bytes of a body; beyond, 413. Default 8 MiB. */
  bodyBytes?: number;
  /** Milliseconds from a request to the end of its answer, waiting included; beyond, it is stopped. Default 600,000. */
  timeoutMs?: number;
  /** Tokens that a chat answer gets where its request names no number, at most the rest of the context. Default 2048. */
  maxTokens?: number;
  /** Texts that one request may generate: its prompts times `n`. Default 64. */
  sequences?: number;
  /** Inputs that one request may have embedded. Default 2048. */
  inputs?: number;
  /** With `inspect`: tokens of a text that is looked into, all of whose tensors are in memory at a time. Default 64. */
  inspectTokens?: number;
}

/** A line of the log: what happened, with figures. */
export type LogEntry = Readonly<Record<string, unknown>> & { event: string };

export interface HandlerOptions {
  /**
   * A loaded model, a reference that is loaded at its first request, or several: in a list, or in an object under the
   * names by which requests ask for them.
   */
  models:
    | Model
    | string
    | readonly (Model | string | ServedModel)[]
    | Readonly<Record<string, Model | string>>;
  /** Who may ask. Default: everybody, but no page of another origin. */
  keys?: string | readonly (string | KeyOptions)[];
  limits?: ServerLimits;
  /** Bytes that models which the handler loads may take together. Default: what is available at the start. */
  memoryBudget?: number;
  /**
   * 'prompt': `speculate` of all that is generated, by models that can. Texts are the same with and without. Default false.
   */
  speculate?: 'prompt' | false;
  /** Leave out fields that are unknown, in place of refusing them. Default false. */
  lenient?: boolean;
  /** Origins of pages that may use it, besides those of this machine: 'https://chat.example.com'. */
  origins?: readonly string[];
  /** A page to chat in, at `/`. Default true. */
  page?: boolean;
  /** A page to look into the models with, at `/inspect`, and what it asks for. Default false. */
  inspect?: boolean;
  /** Told of every request that is over, of loads and unloads. No text of a prompt. */
  log?: (entry: LogEntry) => void;
  /** Let the log have the bodies of requests. Default false. */
  logPrompts?: boolean;
  /** Milliseconds without an event after which a stream gets a ping. Default 15,000. */
  pingMs?: number;
  /** Milliseconds after which a reader who takes nothing is left. Default 60,000. */
  stallMs?: number;
}

export interface HandlerSettings {
  models: readonly ServedModel[];
  keys: readonly KeyOptions[];
  limits: Readonly<Required<ServerLimits>>;
  memoryBudget: number;
  speculate: Speculate;
  lenient: boolean;
  origins: readonly string[];
  page: boolean;
  inspect: boolean;
  log: ((entry: LogEntry) => void) | undefined;
  logPrompts: boolean;
  pingMs: number;
  stallMs: number;
}

const longest = 2 ** 31 - 1;
const isName = (v: unknown) => typeof v === 'string' && v.length > 0 && v.length <= 1000;
const name: Rule = { fits: isName, allowed: 'a string of 1 to 1000 characters' };
/** Read with rules of its own below. */
const anything: Rule = { fits: () => true, allowed: 'anything' };

const limitRules = {
  concurrent: integer(1, 65536),
  queue: integer(0, 1_000_000),
  bodyBytes: integer(1, 2 ** 30),
  timeoutMs: integer(1, longest),
  maxTokens: integer(1, Number.MAX_SAFE_INTEGER),
  sequences: integer(1, 4096),
  inputs: integer(1, 65536),
  inspectTokens: integer(1, 65536),
} satisfies Record<keyof ServerLimits, Rule>;

const keyRules = {
  key: name,
  name,
  concurrent: integer(1, 65536),
  queueShare: { fits: (v) => number(0, 1).fits(v) && (v as number) > 0, allowed: 'above 0 and at most 1' },
  priority: integer(-100, 100),
} satisfies Record<keyof KeyOptions, Rule>;

const modelRules = {
  id: name,
  model: { fits: (v) => v instanceof Model || isName(v), allowed: 'a Model or a reference' },
  aliases: list(isName, 0, 100, 'a list of names'),
  options: { fits: isRecord, allowed: 'an object' },
  ...speculateRules,
} satisfies Record<keyof ServedModel, Rule>;

const rules = {
  models: anything,
  keys: anything,
  limits: anything,
  memoryBudget: integer(0, Number.MAX_SAFE_INTEGER),
  speculate: { fits: (v) => v === 'prompt' || v === false, allowed: "'prompt' or false" },
  lenient: boolean,
  origins: list(isName, 0, 1000, 'a list of origins'),
  page: boolean,
  inspect: boolean,
  log: callback,
  logPrompts: boolean,
  pingMs: integer(1, longest),
  stallMs: integer(1, longest),
} satisfies Record<keyof HandlerOptions, Rule>;

const defaultLimits: Required<ServerLimits> = {
  concurrent: 64,
  queue: 256,
  bodyBytes: 8 * 2 ** 20,
  timeoutMs: 600_000,
  maxTokens: 2048,
  sequences: 64,
  inputs: 2048,
  inspectTokens: 64,
};

/** Throws INVALID_OPTION. */
export function parseHandlerOptions(options: unknown): HandlerSettings {
  return reading('The options of createHandler', () => read(options));
}

function read(options: unknown): HandlerSettings {
  const given = parseOptions(rules, options, 'createHandler') as HandlerOptions;
  const models = modelsOf(given.models);
  checkNames(models);
  return {
    models,
    keys: keysOf(given.keys),
    limits: { ...defaultLimits, ...(parseOptions(limitRules, given.limits, 'limits') as ServerLimits) },
    memoryBudget: given.memoryBudget ?? availableMemory(),
    speculate: given.speculate ?? false,
    lenient: given.lenient ?? false,
    origins: given.origins ?? [],
    page: given.page ?? true,
    inspect: given.inspect ?? false,
    log: given.log,
    logPrompts: given.logPrompts ?? false,
    pingMs: given.pingMs ?? 15_000,
    stallMs: given.stallMs ?? 60_000,
  };
}

function modelsOf(models: unknown): ServedModel[] {
  if (models instanceof Model || typeof models === 'string') return modelsOf([models]);
  if (Array.isArray(models) && models.length > 0) return models.map(modelOf);
  if (isRecord(models) && Object.keys(models).length > 0) {
    return Object.entries(models).map(([id, model]) => modelOf({ id, model }));
  }
  throw invalidOption(
    'models',
    models,
    'a Model, a reference, or a list or an object of at least one of them',
  );
}

function modelOf(given: unknown): ServedModel {
  const entry = given instanceof Model || typeof given === 'string' ? { model: given } : given;
  const served = parseOptions(modelRules, entry, 'models') as ServedModel;
  if (served.model === undefined) throw invalidOption('model', undefined, modelRules.model.allowed);
  return { ...served, options: parseLoadOptions(served.options) };
}

function checkNames(models: readonly ServedModel[]): void {
  const names = models.flatMap(({ id, model, aliases = [] }) => [
    id ?? (typeof model === 'string' ? model : model.info.name),
    ...aliases,
  ]);
  const twice = names.find((one, i) => names.indexOf(one) !== i);
  if (twice !== undefined) throw invalidOption('models', twice, 'a name that only one of them has');
}

function keysOf(keys: unknown): KeyOptions[] {
  if (keys === undefined) return [];
  if (typeof keys === 'string') return keysOf([keys]);
  if (!Array.isArray(keys)) throw invalidOption('keys', keys, 'a key or a list of them');
  return keys.map((given: unknown) => {
    const key = parseOptions(
      keyRules,
      typeof given === 'string' ? { key: given } : given,
      'keys',
    ) as KeyOptions;
    // A key is a secret: the message shows none.
    if (key.key === undefined) throw invalidOption('key', undefined, keyRules.key.allowed);
    return key;
  });
}
