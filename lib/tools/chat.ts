/**
 * From a conversation and its options to a prompt, and to how its answer is read: tools told as the template has it or in
 * our own format, thoughts and calls told apart, and what is required of the answer as tokens.
 */
import { isKvasirError, KvasirError } from '../errors.js';
import { Answer } from '../output/answer.js';
import type { CallFormat, CallWriter, FormatContext, FormatMaker } from '../output/format.js';
import type { AnswerShape, CallTask } from '../structure/answer-shape.js';
import { OutputParser } from '../output/parser.js';
import type { AnswerPlan } from '../output/plan.js';
import { type ReasoningMarkers, reasoningMarkers } from '../output/reasoning.js';
import { codedMarker, markerOf } from '../output/special-text.js';
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
    marker: (marker) => markerOf(marker, specials),
    tools: tools.map((tool) => tool.function),
    tellsReasoning: reasoning !== undefined,
    promptEnd,
  };
  const { coded, marker } = context;
  const format = make?.(context);
  const startsReasoning = reasoning !== undefined && promptEnd.trimEnd().endsWith(reasoning.open.trimEnd());
  const hasThought = reasoning !== undefined && promptEnd.trimEnd().endsWith(reasoning.close);
  const markers = reasoning && {
    open: coded(reasoning.open),
    close: coded(reasoning.close),
    ignored: reasoning.ignored?.map(coded),
  };
  const names = tools.map((tool) => tool.function.name);
  const shape: AnswerShape = {
    calls: format && tools.length > 0 ? callTask(format, request.settings, tools) : undefined,
    messages: format?.messages,
    thought: reasoning && {
      open: marker(reasoning.open),
      close: marker(reasoning.close),
      state: startsReasoning ? 'begun' : hasThought ? 'over' : 'possible',
    },
  };
  return {
    createParser: (stops, isStructured) =>
      new OutputParser({
        format,
        reasoning: markers,
        startsReasoning,
        isStructured,
        answer: new Answer(stops, names),
      }),
    steering: await steeringOf(tokenizer, request, reasoning),
    shape,
    goesOnAfter: new Set((format?.goesOnAfter ?? []).flatMap((token) => specials.get(token) ?? [])),
    hasTools: tools.length > 0,
  };
}

function callTask(
  format: CallFormat,
  { toolChoice }: ChatSettings,
  tools: readonly FunctionTool[],
): CallTask {
  const isRequired = toolChoice !== 'auto' && toolChoice !== 'none';
  const may = (name: string): boolean => typeof toolChoice === 'string' || name === toolChoice.name;
  return {
    syntax: format.syntax,
    tools: tools
      .map(({ function: { name, parameters, strict } }) => ({
        name,
        parameters,
        strict: typeof strict === 'boolean' ? strict : undefined,
      }))
      .filter(({ name }) => may(name)),
    isRequired,
  };
}

async function steeringOf(
  tokenizer: Tokenizer,
  { settings: { toolChoice, reasoning: asked }, signal }: ChatRequest,
  reasoning: ReasoningMarkers | undefined,
): Promise<SteeringTask | undefined> {
  if (reasoning === undefined || asked?.budget === undefined) return undefined;
  const end = thoughtEnd(reasoning, toolChoice !== 'auto' && toolChoice !== 'none');
  return {
    budget: asked.budget,
    thoughtEnd: await tokenizer.encodeAsync(end, { addSpecialTokens: false, signal }),
  };
}

/** A call that has to follow begins behind the marker itself. */
function thoughtEnd({ close, forcedEnd, beforeCall }: ReasoningMarkers, isForced: boolean): string {
  return isForced && beforeCall !== undefined ? close : forcedEnd;
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
