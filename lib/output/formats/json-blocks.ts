/** Formats that write calls as JSON objects, one or a list of them, behind a marker or where the answer begins. */
import type { CallFormat, FormatContext, FormatMaker, Source } from '../format.js';
import { type JsonCallOptions, jsonCalls } from '../json-call.js';
import type { Reading } from '../reader.js';

interface JsonBlocks extends JsonCallOptions {
  /** Each begins calls; the first one is what a forced call begins with. */
  open: readonly string[];
  /** Each may end them. Default: none. */
  close?: readonly string[];
  /** Between marker and name where a call is forced. */
  opening: string;
  /** What an answer may begin with in place of the marker: a call as it is. */
  bare?: boolean;
  /** Markers count as plain text too where they are tokens. */
  alsoSpelled?: boolean;
}

/** `opening` with the name in it. */
function openingOf(marker: string, opening: string): CallFormat['opening'] {
  return (name) => marker + opening.replace('NAME', name);
}

/** Calls in JSON between markers. */
export function jsonBlocks({
  open,
  close = [],
  opening,
  bare,
  alsoSpelled,
  ...options
}: JsonBlocks): FormatMaker {
  return ({ coded }: FormatContext): CallFormat => {
    const forms = (markers: readonly string[]): string[] => {
      const tokens = markers.map(coded);
      return alsoSpelled ? [...new Set([...tokens, ...markers])] : tokens;
    };
    const openers = forms(open);
    const closers = forms(close);
    const read = { ...options, openers, closers };
    const format: CallFormat = {
      openers,
      calls: (source, opener) => jsonCalls(source, opener, read),
      opening: openingOf(bare ? '' : open[0], opening),
    };
    if (bare) format.start = (source) => bareCalls(source, { ...read, onlyTools: true });
    return format;
  };
}

function* bareCalls(source: Source, options: Parameters<typeof jsonCalls>[2]): Reading<void> {
  const { reader } = source;
  yield* reader.skipSpace();
  if (/[[{]/.test(yield* reader.peek())) yield* jsonCalls(source, '', options);
}

const named = '{"name": "NAME", "arguments":';

/** Hermes, Qwen 2.5 and 3, Granite 4, MiMo, and our own. */
export const hermes = jsonBlocks({
  open: ['<tool_call>'],
  close: ['</tool_call>'],
  opening: `\n${named}`,
});

/** Llama 3: nothing but JSON, or that behind its tag for code. */
export const llama3 = jsonBlocks({
  open: ['<|python_tag|>'],
  opening: '{"name": "NAME", "parameters":',
  bare: true,
});

/** Granite 3, Phi-4-mini. */
export const granite3 = jsonBlocks({
  open: ['<|tool_call|>'],
  close: ['<|/tool_call|>'],
  opening: `[${named}`,
});

/** MiniMax-M1, Apriel, Hunyuan. */
export const toolCallsTag = jsonBlocks({
  open: ['<tool_calls>'],
  close: ['</tool_calls>'],
  opening: `[${named}`,
});

/** Nemotron Nano 2. */
export const nemotron = jsonBlocks({ open: ['<TOOLCALL>'], close: ['</TOOLCALL>'], opening: `[${named}` });

export const firefunction = jsonBlocks({ open: [' functools', 'functools'], opening: `[${named}` });

export const gigaChat = jsonBlocks({ open: ['<|function_call|>'], opening: named });

const cohereNamed = '"tool_name": "NAME", "parameters":';

export const commandR = jsonBlocks({
  open: ['Action:\n```json', 'Action: ```json'],
  close: ['```'],
  opening: `\n[\n    {\n        ${cohereNamed}`,
});

export const commandR7b = jsonBlocks({
  open: ['<|START_ACTION|>'],
  close: ['<|END_ACTION|>'],
  opening: `[\n    {"tool_call_id": "0", ${cohereNamed}`,
});

export const apertus = jsonBlocks({
  open: ['<|tools_prefix|>'],
  close: ['<|tools_suffix|>'],
  opening: '[{"NAME":',
  nameIsKey: true,
});

/** Mistral up to Nemo and Small 3.0: a list behind the token. */
export const mistralList = jsonBlocks({ open: ['[TOOL_CALLS]'], opening: `[${named}` });
