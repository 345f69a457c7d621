/** Options of `generate` as a framework's model has them: given once for all calls, or with one. Read once, checked. */
import { invalidOption, isRecord, parseOptions, plainData, type Rule, reading } from '../given.js';
import { type GenerateOptions, generateRules } from '../options.js';

/** What each call says itself, in the framework's own words, and what one answer has no place for. */
type Reserved = 'signal' | 'tools' | 'toolChoice' | 'responseFormat' | 'n' | 'stop';

export interface ModelSettings extends Omit<GenerateOptions, Reserved> {
  /** What the chat template knows besides the messages, by name: `{ enable_thinking: false }`. Default: nothing. */
  templateVariables?: Readonly<Record<string, unknown>>;
}

const {
  signal: _signal,
  tools: _tools,
  toolChoice: _toolChoice,
  responseFormat: _responseFormat,
  n: _n,
  stop: _stop,
  ...ownRules
} = generateRules;

const rules = {
  ...ownRules,
  templateVariables: {
    copy: (v) => plainData(v, 'templateVariables'),
    fits: isRecord,
    allowed: 'an object of what the chat template knows',
  },
} satisfies Record<keyof ModelSettings, Rule>;

export const settingNames = Object.keys(rules) as (keyof ModelSettings)[];

/** Throws INVALID_OPTION. @param call whose options they are, as a message names it */
export function readSettings(given: unknown, call: string): ModelSettings {
  return parseOptions(rules, given, call) as ModelSettings;
}

/** Tokens of an answer whose call names no number: what the server gives too. The context bounds it. */
export const DEFAULT_ANSWER_TOKENS = 2048;

/** A copy of options that the call which they are for will check. Throws INVALID_OPTION for what are none. */
export function copiedOptions<T extends object>(given: T | undefined, call: string): T {
  return reading(`The options of ${call}`, () => {
    if (given === undefined) return {} as T;
    if (isRecord(given)) return { ...given };
    throw invalidOption(`of ${call}`, given, 'an object');
  });
}
