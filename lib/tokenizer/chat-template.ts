/**
 * Renders a model's chat template, as `transformers` does, into segments that say what came from the conversation. Knows
 * no token ids. What a template would leave out in silence is refused: tools, documents, system messages and whole
 * messages that do not show, and roles that it does not know.
 */
import { KvasirError } from '../errors.js';
import { defaultLimits, type Limits } from '../templates/budget.js';
import { contentValue, messageValue } from '../templates/conversation.js';
import { LimitReached, TemplateFailure } from '../templates/failure.js';
import { ArgumentsPrinted, PartsPrinted } from '../templates/printing.js';
import { Template } from '../templates/template.js';
import { type Segment, Text } from '../templates/text.js';
import { type Dict, List, type Value } from '../templates/values.js';
import type { ChatMessage, ChatTemplateOptions } from './chat-messages.js';
import { chosenTemplate, type NamedTemplate, type SpecialTokens } from './definition.js';
import { flattenParts, hasParts, textsOf, withOtherText } from './message-parts.js';
import { guardArguments, hasCalls, withObjects, withTexts } from './tool-arguments.js';
import { checkStopped, heapBytes } from './work.js';

/** Roles that conversations have everywhere. A template may know more: it spells them. */
const commonRoles = ['system', 'developer', 'user', 'assistant', 'tool', 'function'];
/** Their messages tell the model what to do: one that is left out changes what it is asked. */
const instructing = ['system', 'developer'];
/** A template may take this many steps for a message, beside what every rendering has. */
const stepsPerMessage = 2000;

/** What its strings may take of a small heap. */
const limits: Limits = {
  ...defaultLimits,
  characters: Math.min(defaultLimits.characters, heapBytes / 4),
  longest: Math.min(defaultLimits.longest, heapBytes / 32),
};

interface Rendering {
  segments: Segment[];
  messages: Dict[];
}

function invalid(problem: string, cause?: unknown): KvasirError {
  return new KvasirError('INVALID_OPTION', problem, { cause });
}

function textOf(segments: readonly Segment[]): string {
  return segments.map(({ text }) => text).join('');
}

export class ChatTemplate {
  readonly #parsed = new Map<string, Template>();

  constructor(
    readonly templates: readonly NamedTemplate[],
    readonly specialTokens: SpecialTokens,
  ) {}

  /**
   * Throws INVALID_OPTION when the model has no template or the template refuses or leaves out what it is given,
   * MODEL_FORMAT for what is no template, LIMIT_EXCEEDED when it takes too much.
   */
  render(messages: readonly ChatMessage[], options: ChatTemplateOptions): Segment[] {
    const chosen = this.#choose(options);
    for (const { role } of messages) checkRole(role, chosen);
    const [given, { segments, messages: read }] = this.#renderReadably(chosen, messages, options);
    const text = textOf(segments);
    // One that never speaks of messages is a fixed text, such as a date.
    if (chosen.template.includes('messages')) checkRead(given, read);
    this.#checkInstructions(chosen, given, options, text);
    if (options.tools?.length)
      this.#checkUsed(chosen, given, { ...options, tools: undefined }, text, 'tools');
    if (options.documents?.length) {
      this.#checkUsed(chosen, given, { ...options, documents: undefined }, text, 'documents');
    }
    return segments;
  }

  /** Contents in parts as they are; flattened where the template knows no parts. */
  #renderReadably(
    chosen: NamedTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): [readonly ChatMessage[], Rendering] {
    if (!messages.some(hasParts)) return [messages, this.#render(chosen, messages, options)];
    try {
      return [messages, this.#run(chosen, messages, options)];
    } catch (failure) {
      if (!(failure instanceof TemplateFailure) || failure instanceof LimitReached) {
        throw translate(failure, chosen.name);
      }
      const flat = messages.map(flattenParts);
      try {
        return [flat, this.#run(chosen, flat, options)];
      } catch (again) {
        // Where parts are not the trouble, the first failure says more.
        throw translate(failure instanceof PartsPrinted ? again : failure, chosen.name);
      }
    }
  }

  #render(chosen: NamedTemplate, messages: readonly ChatMessage[], options: ChatTemplateOptions): Rendering {
    try {
      return this.#run(chosen, messages, options);
    } catch (failure) {
      throw translate(failure, chosen.name);
    }
  }

  /** Calls with arguments in the form that the template takes. */
  #run(chosen: NamedTemplate, messages: readonly ChatMessage[], options: ChatTemplateOptions): Rendering {
    if (!messages.some(hasCalls)) return this.#runOnce(chosen, messages, options);
    try {
      return this.#runOnce(chosen, withObjects(messages, chosen.template), options);
    } catch (failure) {
      if (!(failure instanceof TemplateFailure) || failure instanceof LimitReached) throw failure;
      try {
        return this.#runOnce(chosen, withTexts(messages), options);
      } catch (again) {
        throw failure instanceof ArgumentsPrinted ? again : failure;
      }
    }
  }

  #runOnce(chosen: NamedTemplate, messages: readonly ChatMessage[], options: ChatTemplateOptions): Rendering {
    const template = this.#parse(chosen);
    const dicts = messages.map((message, i) => messageValue(message, i));
    guardArguments(dicts);
    const values = new Map<string, Value>();
    const { others = {}, ...named } = this.specialTokens;
    for (const [name, token] of Object.entries(named)) {
      if (token !== undefined) values.set(`${name}_token`, Text.of(token));
    }
    for (const [name, token] of Object.entries(others)) values.set(name, Text.of(token));
    for (const [name, value] of Object.entries(options.variables ?? {})) {
      values.set(name, contentValue(value, `variables: ${name}`));
    }
    values.set('messages', new List(dicts));
    values.set('tools', contentValue(options.tools, 'tools'));
    values.set('documents', contentValue(options.documents, 'documents'));
    values.set('add_generation_prompt', options.addGenerationPrompt ?? true);
    const steps = limits.steps + stepsPerMessage * messages.length;
    const segments = template.render(values, { limits: { ...limits, steps }, interrupt: checkStopped });
    return { segments, messages: dicts };
  }

  /** Renders without something: the same text says that the template leaves it out. */
  #checkUsed(
    chosen: NamedTemplate,
    messages: readonly ChatMessage[],
    without: ChatTemplateOptions,
    text: string,
    what: string,
  ): void {
    if (this.#textWith(chosen, messages, without) !== text) return;
    throw invalid(`The model's chat template leaves out the ${what} that it was given: it knows none`);
  }

  /** System messages whose text does not show: would another text change anything? */
  #checkInstructions(
    chosen: NamedTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
    text: string,
  ): void {
    messages.forEach((message, i) => {
      if (!instructing.includes(message.role)) return;
      if (textsOf(message).every((one) => text.includes(one))) return;
      const others = messages.map((one, k) => (k === i ? withOtherText(one) : one));
      if (this.#textWith(chosen, others, options) !== text) return;
      throw invalid(
        `The model's chat template leaves out messages of the role '${message.role}' (entry ${i}): ` +
          'put its text into the first message of the user',
      );
    });
  }

  /** undefined: the template refuses it. */
  #textWith(
    chosen: NamedTemplate,
    messages: readonly ChatMessage[],
    options: ChatTemplateOptions,
  ): string | undefined {
    try {
      return textOf(this.#run(chosen, messages, options).segments);
    } catch (failure) {
      if (failure instanceof TemplateFailure && !(failure instanceof LimitReached)) return undefined;
      throw translate(failure, chosen.name);
    }
  }

  /** By its name, or as the reference does. */
  #choose({ template: name, tools }: ChatTemplateOptions): NamedTemplate {
    if (this.templates.length === 0) {
      throw invalid(
        'This model has no chat template: it was not made for conversations. Give it a plain string to continue.',
      );
    }
    const names = this.templates.map((entry) => `'${entry.name}'`).join(', ');
    if (name !== undefined) {
      const chosen = chosenTemplate(this.templates, { template: name });
      if (chosen !== undefined) return chosen;
      throw invalid(`template: the model has no chat template '${name}'; it has ${names}`);
    }
    const chosen = chosenTemplate(this.templates, { tools });
    if (chosen !== undefined) return chosen;
    throw invalid(
      `The model has chat templates but none by default: choose one with the option template, of ${names}`,
    );
  }

  #parse({ name, template }: NamedTemplate): Template {
    let parsed = this.#parsed.get(name);
    if (parsed === undefined) {
      try {
        parsed = new Template(template);
      } catch (cause) {
        if (!(cause instanceof TemplateFailure) || cause instanceof LimitReached) throw cause;
        throw new KvasirError(
          'MODEL_FORMAT',
          `The model's chat template cannot be read${placeOf(cause, name)}: ${cause.message}.`,
          { cause },
        );
      }
      this.#parsed.set(name, parsed);
    }
    return parsed;
  }
}

function placeOf({ line, construct }: TemplateFailure, name: string): string {
  const at = line === undefined ? '' : `, line ${line}`;
  return ` (template '${name}'${at}${construct === undefined ? '' : `, ${construct}`})`;
}

function translate(failure: unknown, name: string): unknown {
  if (!(failure instanceof TemplateFailure)) return failure;
  const place = placeOf(failure, name);
  if (failure instanceof LimitReached) {
    return new KvasirError(
      'LIMIT_EXCEEDED',
      `The model's chat template takes too much${place}: ${failure.message}.`,
      {
        cause: failure,
      },
    );
  }
  const verb = failure.kind === 'TemplateError' ? 'refuses' : 'does not take';
  return invalid(`The model's chat template ${verb} this conversation${place}: ${failure.message}`, failure);
}

/** A role goes into control tokens, so it must be one of the template's words or of everybody's. */
function checkRole(role: string, { template }: NamedTemplate): void {
  if (commonRoles.includes(role)) return;
  const isSpelled =
    /^[\w.-]+$/.test(role) && [`'${role}'`, `"${role}"`].some((one) => template.includes(one));
  if (isSpelled) return;
  throw invalid(`messages: the model's chat template knows no role '${role}'`);
}

/** Messages that the template looked past. */
function checkRead(messages: readonly ChatMessage[], read: readonly Dict[]): void {
  const payload = ['content', 'tool_calls', 'reasoning_content', 'thinking', 'reasoning', '*'];
  messages.forEach((message, i) => {
    const isEmpty = textsOf(message).length === 0 && message.tool_calls === undefined;
    const { reads } = read[i]!;
    if (hasCalls(message) && reads !== undefined && !['tool_calls', '*'].some((field) => reads.has(field))) {
      throw invalid(`The model's chat template leaves out the calls of tools (entry ${i})`);
    }
    if (isEmpty || reads === undefined || payload.some((field) => reads.has(field))) return;
    throw invalid(
      `The model's chat template leaves out the message of the role '${message.role}' (entry ${i})`,
    );
  });
}
