/** The options of `generate` that speak of its prompt: what it goes through. */
import { type Adapter, adapterRule } from './lora/adapter.js';
import type { Rule } from './given.js';

export interface PromptOptions {
  /** A LoRA adapter that this model has loaded. Default: none. */
  adapter?: Adapter;
}

export const promptRules = { adapter: adapterRule } satisfies Record<keyof PromptOptions, Rule>;
