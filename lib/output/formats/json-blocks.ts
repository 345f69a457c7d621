/** Formats that write calls as JSON objects, one or a list of them, behind a marker or where the answer begins. */
import type { CallPart, CallSyntax } from '../../structure/answer-shape.js';
import type { CallFormat, FormatContext, FormatMaker, Source } from '../format.js';
import { type JsonCallOptions, jsonCalls } from '../json-call.js';
import type { Reading } from '../reader.js';

interface JsonBlocks extends JsonCallOptions {
  /** Each begins calls; the first one is what a forced call begins with. */
  open: readonly string[];
  /** Each may end them. Default: none. */
  close?: readonly string[];
  /** A call as it is written. */
  call: readonly (string | CallPart)[];
  /** Calls stand in a list. */
  list?: boolean;
  /** What an answer may begin with in place of the marker: a call as it is. */
  bare?: boolean;
  /** Markers count as plain text too where they are tokens. */
  alsoSpelled?: boolean;
}

/** Calls in JSON between markers. */
export function jsonBlocks({
  open,
  close = [],
  call,
  list = false,
  bare,
  alsoSpelled,
  ...options
}: JsonBlocks): FormatMaker {
  return ({ coded, marker }: FormatContext): CallFormat => {
    const forms = (markers: readonly string[]): string[] => {
      const tokens = markers.map(coded);
      return alsoSpelled ? [...new Set([...tokens, ...markers])] : tokens;
    };
    const openers = forms(open);
    const closers = forms(close);
    const read = { ...options, openers, closers };
    const ends = close.length > 0 ? (['space', marker(close[0])] as const) : [];
    const syntax: CallSyntax = {
      openers: alsoSpelled ? open.flatMap((one) => [marker(one), [one]]) : open.map(marker),
      lead: ['space', ...(list ? ([['['], 'space'] as const) : [])],
      call: call.map((part) => (typeof part === 'string' && !isKind(part) ? [part] : part)),
      between: list ? [[','], 'space'] : undefined,
      end: [...(list ? (['space', [']']] as const) : []), ...ends],
      isBare: bare,
      arguments: 'json',
    };
    const format: CallFormat = {
      openers,
      calls: (source, opener) => jsonCalls(source, opener, read),
      syntax,
    };
    if (bare) format.start = (source) => bareCalls(source, { ...read, onlyTools: true });
    return format;
  };
}

function isKind(part: string): part is Extract<CallPart, string> {
  return ['space', 'name', 'number', 'arguments'].includes(part);
}

function* bareCalls(source: Source, options: Parameters<typeof jsonCalls>[2]): Reading<void> {
  const { reader } = source;
  yield* reader.skipSpace();
  if (/[[{]/.test(yield* reader.peek())) yield* jsonCalls(source, '', options);
}

const named = ['{"name": "', 'name', '", "arguments": ', 'arguments', 'space', '}'] as const;

/** Hermes, Qwen 2.5 and 3, Granite 4, MiMo, and our own. */
export const hermes = jsonBlocks({
  open: ['<tool_call>'],
  close: ['</tool_call>'],
  call: named,
});

/** Llama 3: nothing but JSON, or that behind its tag for code. */
export const llama3 = jsonBlocks({
  open: ['<|python_tag|>'],
  call: ['{"name": "', 'name', '", "parameters": ', 'arguments', 'space', '}'],
  bare: true,
});

/** Granite 3, Phi-4-mini. */
export const granite3 = jsonBlocks({
  open: ['<|tool_call|>'],
  close: ['<|/tool_call|>'],
  call: named,
  list: true,
});

/** MiniMax-M1, Apriel, Hunyuan. */
export const toolCallsTag = jsonBlocks({
  open: ['<tool_calls>'],
  close: ['</tool_calls>'],
  call: named,
  list: true,
});

/** Nemotron Nano 2. */
export const nemotron = jsonBlocks({ open: ['<TOOLCALL>'], close: ['</TOOLCALL>'], call: named, list: true });

export const firefunction = jsonBlocks({ open: [' functools', 'functools'], call: named, list: true });

export const gigaChat = jsonBlocks({ open: ['<|function_call|>'], call: named });

const cohereNamed = [
  '"tool_name": "',
  'name',
  '",',
  'space',
  '"parameters": ',
  'arguments',
  'space',
  '}',
] as const;

export const commandR = jsonBlocks({
  open: ['Action:\n```json', 'Action: ```json'],
  close: ['```'],
  call: ['{', 'space', ...cohereNamed],
  list: true,
});

export const commandR7b = jsonBlocks({
  open: ['<|START_ACTION|>'],
  close: ['<|END_ACTION|>'],
  call: ['{"tool_call_id": "', 'number', '", ', ...cohereNamed],
  list: true,
});

export const apertus = jsonBlocks({
  open: ['<|tools_prefix|>'],
  close: ['<|tools_suffix|>'],
  call: ['{"', 'name', '": ', 'arguments', 'space', '}'],
  list: true,
  nameIsKey: true,
});

/** Mistral up to Nemo and Small 3.0: a list behind the token. */
export const mistralList = jsonBlocks({ open: ['[TOOL_CALLS]'], call: named, list: true });
