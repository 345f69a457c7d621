/**
 * From a conversation and its options to a prompt, and to how its answer is read: tools told as the template has it or in
 * our own format, thoughts and calls told apart, and what is required of the answer as tokens.
 */
import { isKvasirError, KvasirError } from '../errors.js';
import { show } from '../given.js';
import { Answer } from '../output/answer.js';
import type { CallFormat, CallWriter, FormatContext, FormatMaker } from '../output/format.js';
import { OutputParser } from '../output/parser.js';
import type { AnswerPlan } from '../output/plan.js';
import { type ReasoningMarkers, reasoningMarkers } from '../output/reasoning.js';
import { codedMarker } from '../output/special-text.js';
import type { SteeringTask } from '../output/steering.js';
import { templateFormat } from '../output/style.js';
import type { ChatMessage } from '../tokenizer/chat-messages.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { type ChatSettings, chosenTools, type FunctionTool } from './definitions.js';
import { genericFormat, genericMessages } from './generic.js';
import { withWrittenCalls } from './messages.js';
import { takesOneCall, withSingleCalls } from './single-calls.js';

/** Tokens of a prompt's end that tell how its answer begins. */
const tailTokens = 96;

export interface ChatRequest {
  messages: readonly ChatMessage[];
  settings: ChatSettings;
  /** Name of the chat template. */
  template?: string;
  /** What else it knows, by name. */
  variables?: Record<string, unknown>;
  signal?: AbortSignal;
}

export interface PreparedChat {
  ids: Int32Array;
  /** Absent: the answer is text and nothing else. */
  plan?: AnswerPlan;
}

/** Throws INVALID_OPTION for options that need a conversation, given with another prompt. */
export function checkChatPrompt(prompt: unknown, { isAsked }: ChatSettings): void {
  if (!isAsked || (typeof prompt !== 'string' && !(prompt instanceof Int32Array))) return;
  throw new KvasirError(
    'INVALID_OPTION',
    'tools, toolChoice, toolFormat and reasoning need a conversation: give the prompt as a list of messages.',
    { details: { option: 'tools' } },
  );
}

/** How a request is told and read. */
interface Style {
  tools: readonly FunctionTool[];
  isGeneric: boolean;
  make: FormatMaker | undefined;
  /** The template leaves out calls of earlier turns: they are written into the messages' text. */
  written: CallWriter | undefined;
  /** The template knows one call in a message. */
  isSingle: boolean;
  reasoning: ReasoningMarkers | undefined;
}

/** Rejects as `encodeChat` does, and with INVALID_OPTION for tools that cannot be told or a choice that cannot be enforced. */
export async function prepareChat(tokenizer: Tokenizer, request: ChatRequest): Promise<PreparedChat> {
  const style = styleOf(tokenizer, request);
  const ids = await encode(tokenizer, request, style);
  if (style.make === undefined && style.reasoning === undefined) return { ids };
  const promptEnd = tokenizer.decode(ids.subarray(-tailTokens), { skipSpecialTokens: false });
  return { ids, plan: await planOf(tokenizer, request, style, promptEnd) };
}

function styleOf(tokenizer: Tokenizer, { messages, settings, template }: ChatRequest): Style {
  const tools = chosenTools(settings.tools ?? [], settings.toolChoice);
  const text = tokenizer.chatTemplateOf({ template, tools: tools.length > 0 ? tools : undefined }) ?? '';
  const reasoning = settings.reasoning && reasoningMarkers(text);
  const known = templateFormat(text, [...specialTokens(tokenizer).keys()]);
  const written = text.includes('tool_calls') ? undefined : known?.written;
  const isSingle = takesOneCall(text);
  if (tools.length === 0) {
    const reads = known?.always === true && reasoning !== undefined;
    // Earlier turns may have calls all the same.
    const isGeneric =
      (known === undefined || settings.toolFormat === 'generic') && messages.some(hasToolTurn);
    return { tools, isGeneric, make: reads ? known.make : undefined, written, isSingle, reasoning };
  }
  const found = settings.toolFormat === 'generic' ? undefined : known;
  if (found === undefined && settings.toolFormat === 'template') {
    throw new KvasirError(
      'INVALID_OPTION',
      "The model's chat template has no format for tools that is known; toolFormat 'generic' tells them in a format of our own.",
      { details: { option: 'toolFormat' } },
    );
  }
  return {
    tools,
    isGeneric: found === undefined,
    make: found?.make ?? genericFormat,
    written,
    isSingle,
    reasoning,
  };
}

function hasToolTurn({ role, tool_calls: calls }: ChatMessage): boolean {
  return role === 'tool' || (Array.isArray(calls) && calls.length > 0);
}

async function encode(
  tokenizer: Tokenizer,
  { messages, signal, ...rendering }: ChatRequest,
  { tools, isGeneric, written, isSingle }: Style,
): Promise<Int32Array> {
  const options = { template: rendering.template, variables: rendering.variables, signal };
  if (!isGeneric) {
    const whole = written ? withWrittenCalls(messages, written) : messages;
    const readable = isSingle ? withSingleCalls(whole) : whole;
    return tokenizer.encodeChat(readable, { ...options, tools: tools.length > 0 ? tools : undefined });
  }
  try {
    return await tokenizer.encodeChat(genericMessages(messages, tools, 'system'), options);
  } catch (error) {
    const hasSystem = messages.some(({ role }) => role === 'system');
    if (hasSystem || !isKvasirError(error) || error.code !== 'INVALID_OPTION') throw error;
    // The template may take no system message: then the user's first one tells the tools.
    return tokenizer.encodeChat(genericMessages(messages, tools, 'user'), options);
  }
}

async function planOf(
  tokenizer: Tokenizer,
  request: ChatRequest,
  style: Style,
  promptEnd: string,
): Promise<AnswerPlan> {
  const { tools, make, reasoning } = style;
  const specials = specialTokens(tokenizer);
  const spelled = [...specials.keys()];
  const context: FormatContext = {
    coded: (marker) => codedMarker(marker, spelled),
    tools: tools.map((tool) => tool.function),
    tellsReasoning: reasoning !== undefined,
    promptEnd,
  };
  const format = make?.(context);
  const startsReasoning = reasoning !== undefined && promptEnd.trimEnd().endsWith(reasoning.open.trimEnd());
  const hasThought = reasoning !== undefined && promptEnd.trimEnd().endsWith(reasoning.close);
  const coded = reasoning && {
    open: context.coded(reasoning.open),
    close: context.coded(reasoning.close),
    ignored: reasoning.ignored?.map(context.coded),
  };
  const names = context.tools.map(({ name }) => name);
  const mayThink = reasoning !== undefined && !startsReasoning && !hasThought;
  return {
    createParser: (stops) =>
      new OutputParser({ format, reasoning: coded, startsReasoning, answer: new Answer(stops, names) }),
    steering: await steeringOf(tokenizer, request, style, { format, mayThink }),
    goesOnAfter: new Set((format?.goesOnAfter ?? []).flatMap((token) => specials.get(token) ?? [])),
    hasTools: tools.length > 0,
  };
}

async function steeringOf(
  tokenizer: Tokenizer,
  { settings: { toolChoice, reasoning: asked }, signal }: ChatRequest,
  { tools, reasoning }: Style,
  { format, mayThink }: { format: CallFormat | undefined; mayThink: boolean },
): Promise<SteeringTask | undefined> {
  const budget = reasoning && asked?.budget;
  const isForced = toolChoice !== 'auto' && toolChoice !== 'none';
  if (!isForced && budget === undefined) return undefined;
  const encoded = (text: string): Promise<Int32Array> =>
    tokenizer.encodeAsync(text, { addSpecialTokens: false, signal });
  const openings = isForced ? requiredOpenings(format, tools, toolChoice) : [];
  return {
    openings: await Promise.all(openings.map(encoded)),
    thoughtStart: mayThink ? await encoded(reasoning!.open) : undefined,
    budget,
    thoughtEnd: reasoning && (await encoded(thoughtEnd(reasoning, isForced))),
    afterThought: reasoning?.beforeCall ? await encoded(reasoning.beforeCall) : undefined,
  };
}

/** A call that has to follow begins behind the marker itself. */
function thoughtEnd({ close, forcedEnd, beforeCall }: ReasoningMarkers, isForced: boolean): string {
  return isForced && beforeCall !== undefined ? close : forcedEnd;
}

/** Throws INVALID_OPTION where the format does not let a call be enforced. */
function requiredOpenings(
  format: CallFormat | undefined,
  tools: readonly FunctionTool[],
  choice: 'required' | { name: string },
): string[] {
  const { opening } = format ?? {};
  if (opening === undefined) {
    throw new KvasirError(
      'INVALID_OPTION',
      `toolChoice ${show(choice)} cannot be enforced in the format of the model's chat template; 'auto' can be used.`,
      { details: { option: 'toolChoice' } },
    );
  }
  const names = tools.map((tool) => tool.function.name);
  return names.filter((name) => choice === 'required' || name === choice.name).map((name) => opening(name));
}

const specialsOf = new WeakMap<Tokenizer, ReadonlyMap<string, number>>();

/** Ids of the special tokens by what they spell. */
function specialTokens(tokenizer: Tokenizer): ReadonlyMap<string, number> {
  let specials = specialsOf.get(tokenizer);
  if (specials === undefined) {
    specials = new Map(tokenizer.specialTokenIds.map((id) => [tokenizer.tokenText(id), id]));
    specialsOf.set(tokenizer, specials);
  }
  return specials;
}
