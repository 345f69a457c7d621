/** What a request says of the model's thinking, as its chat template takes it. */
import { effortVariables } from '../tools/effort.js';
import type { Call } from './call.js';
import { invalid } from './failure.js';

/**
 * Variables of the chat template. Throws a Failure where the template has nothing of the kind: the request would not mean
 * what it says.
 */
export function effortVariablesOf(effort: string | undefined, { model }: Call): Record<string, unknown> {
  if (effort === undefined) return {};
  const variables = effortVariables(effort, model.tokenizer.chatTemplate ?? '');
  if (variables !== undefined) return variables;
  throw invalid(
    "The model's chat template knows no effort of reasoning.",
    'reasoning_effort',
    'unsupported_by_model',
  );
}

/** Of a request that wants no thoughts: the template's own switch, where it has one. */
export function withoutThinking({ model }: Call): Record<string, unknown> {
  const template = model.tokenizer.chatTemplate ?? '';
  return template.includes('enable_thinking') ? { enable_thinking: false } : {};
}
