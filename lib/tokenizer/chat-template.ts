/** Renders a model's chat template. Knows no token ids. */
import { Template } from '@huggingface/jinja';
import { KvasirError } from '../errors.js';
import type { NamedTemplate, SpecialTokens } from './definition.js';

/** One message of a conversation, as chat templates read it. */
export interface ChatMessage {
  role: string;
  content: string | null | { type: string; text?: string }[];
  [field: string]: unknown;
}

export interface ChatTemplateOptions {
  /** JSON-schema tool definitions, handed to the template as `tools`. */
  tools?: readonly unknown[];
  /** Open the assistant's turn at the end. Default true. */
  addGenerationPrompt?: boolean;
}

export class ChatTemplate {
  readonly #parsed = new Map<string, Template>();

  constructor(
    readonly templates: readonly NamedTemplate[],
    readonly specialTokens: SpecialTokens,
  ) {}

  /** Throws INVALID_OPTION when the model has no template or the template refuses the conversation. */
  render(messages: unknown, options: { tools?: unknown; addGenerationPrompt?: boolean }): string {
    const template = this.#choose(options.tools !== undefined);
    const { bos, eos, unk, pad } = this.specialTokens;
    try {
      return template.render({
        messages,
        tools: options.tools ?? null,
        add_generation_prompt: options.addGenerationPrompt ?? true,
        bos_token: bos ?? '',
        eos_token: eos ?? '',
        unk_token: unk ?? '',
        pad_token: pad ?? '',
      });
    } catch (cause) {
      throw new KvasirError(
        'INVALID_OPTION',
        `The model's chat template does not take this conversation: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  #choose(withTools: boolean): Template {
    const named = (name: string): NamedTemplate | undefined =>
      this.templates.find((entry) => entry.name === name);
    const chosen = (withTools ? named('tool_use') : undefined) ?? named('default') ?? this.templates[0];
    if (chosen === undefined) {
      throw new KvasirError(
        'INVALID_OPTION',
        'This model has no chat template: it was not made for conversations. Give it a plain string to continue.',
      );
    }
    let parsed = this.#parsed.get(chosen.name);
    if (parsed === undefined) {
      try {
        parsed = new Template(chosen.template);
      } catch (cause) {
        throw new KvasirError(
          'MODEL_FORMAT',
          `The model's chat template cannot be read: ${(cause as Error).message}`,
          { cause },
        );
      }
      this.#parsed.set(chosen.name, parsed);
    }
    return parsed;
  }
}

/** Throws INVALID_OPTION for what no template could read. */
export function checkMessages(messages: readonly ChatMessage[]): void {
  const wrong = (problem: string): KvasirError => new KvasirError('INVALID_OPTION', `messages: ${problem}.`);
  if (!Array.isArray(messages)) throw wrong('a list of { role, content } is needed');
  messages.forEach((message: unknown, i) => {
    if (typeof message !== 'object' || message === null) throw wrong(`entry ${i} is no object`);
    const { role, content } = message as Partial<ChatMessage>;
    if (typeof role !== 'string' || role === '') throw wrong(`entry ${i} has no role`);
    if (content !== undefined && content !== null && typeof content !== 'string' && !Array.isArray(content)) {
      throw wrong(`the content of entry ${i} must be a string, a list of parts, or null`);
    }
  });
}
