/**
 * How a model answers, told by its chat template: the format of its calls and the markers around its thoughts. The model's
 * name says nothing.
 */
import type { CallWriter, FormatMaker } from './format.js';
import { gemma4 } from './formats/gemma.js';
import { harmony } from './formats/harmony.js';
import * as blocks from './formats/json-blocks.js';
import * as named from './formats/named-json.js';
import { lfm2, writtenPython } from './formats/pythonic.js';
import * as tags from './formats/tagged.js';

interface KnownFormat {
  name: string;
  /** @param specials what the special tokens of the vocabulary spell */
  isOf(template: string, specials: readonly string[]): boolean;
  make: FormatMaker;
  /** Thoughts and text of such answers have its markers too: it reads answers without tools. */
  always?: boolean;
  /** For templates that leave out calls of earlier turns. */
  written?: CallWriter;
}

const holds =
  (...texts: string[]) =>
  (template: string): boolean =>
    texts.every((text) => template.includes(text));

/** The first that fits: those with rarer markers stand before those whose markers others have too. */
const known: readonly KnownFormat[] = [
  { name: 'harmony', isOf: holds('<|channel|>commentary', '<|message|>'), make: harmony, always: true },
  { name: 'gemma-4', isOf: holds('<|tool_call>call:'), make: gemma4 },
  {
    name: 'deepseek-dsml-calls',
    isOf: holds('｜DSML｜', "dsml_token + 'tool_calls>"),
    make: tags.dsmlToolCalls,
  },
  { name: 'deepseek-dsml', isOf: holds('｜DSML｜'), make: tags.dsmlFunctionCalls },
  { name: 'deepseek', isOf: holds('<｜tool▁calls▁begin｜>', '```json'), make: named.deepseek },
  { name: 'deepseek-3.1', isOf: holds('<｜tool▁calls▁begin｜>'), make: named.deepseek31 },
  { name: 'kimi', isOf: holds('<|tool_call_begin|>', '<|tool_call_argument_begin|>'), make: named.kimi },
  { name: 'minimax', isOf: holds('<minimax:tool_call>', '<invoke name='), make: tags.minimax },
  { name: 'seed', isOf: holds('<seed:tool_call>', '<function='), make: tags.seed },
  { name: 'qwen-coder', isOf: holds('<tool_call>', '<function=', '<parameter='), make: tags.qwenCoder },
  { name: 'minicpm', isOf: holds('<function name="', '<param name="'), make: tags.minicpm },
  { name: 'functionary-3.1', isOf: holds('<function=', '</function>'), make: named.functionary31 },
  { name: 'functionary-3.2', isOf: holds('>>>all'), make: named.functionary32 },
  { name: 'firefunction', isOf: holds(' functools['), make: blocks.firefunction },
  { name: 'command-r7b', isOf: holds('<|START_ACTION|>'), make: blocks.commandR7b },
  { name: 'command-r', isOf: holds('Action:', '```json', '"tool_name"'), make: blocks.commandR },
  { name: 'apertus', isOf: holds('<|tools_prefix|>', '<|tools_suffix|>'), make: blocks.apertus },
  { name: 'nemotron', isOf: holds('<TOOLCALL>'), make: blocks.nemotron },
  { name: 'lfm2', isOf: isLfm2, make: lfm2, written: writtenPython },
  { name: 'glm', isOf: holds('<tool_call>', '<arg_key>', '<arg_value>'), make: tags.glm },
  { name: 'granite-3', isOf: holds('<|tool_call|>'), make: blocks.granite3, written: writtenGranite },
  { name: 'giga-chat', isOf: holds('<|function_call|>'), make: blocks.gigaChat },
  { name: 'tool-calls-tag', isOf: holds('<tool_calls>', '</tool_calls>'), make: blocks.toolCallsTag },
  { name: 'mistral', isOf: holds('[TOOL_CALLS]', '[ARGS]'), make: named.mistralNamed },
  { name: 'mistral-list', isOf: holds('[TOOL_CALLS]'), make: blocks.mistralList },
  { name: 'hermes', isOf: isHermes, make: blocks.hermes },
  { name: 'llama-3', isOf: holds('<|start_header_id|>ipython', '"parameters": '), make: blocks.llama3 },
];

function writtenGranite(calls: Parameters<CallWriter>[0]): string {
  return `<|tool_call|>${JSON.stringify(calls)}`;
}

/** Others have these tags too, with something else between them. */
function isHermes(template: string): boolean {
  return holds('<tool_call>', '</tool_call>')(template) && /\\?"arguments\\?": /.test(template);
}

/** Its templates tell tools and leave calls to the model, whose vocabulary has their markers. */
function isLfm2(template: string, specials: readonly string[]): boolean {
  const tells = template.includes('List of tools: ');
  return (
    tells &&
    ['<|tool_call_start|>', '<|tool_list_start|>'].some(
      (one) => template.includes(one) || specials.includes(one),
    )
  );
}

export type TemplateFormat = Omit<KnownFormat, 'isOf'>;

/** undefined: the template tells no tools, or in a way that is not known. */
export function templateFormat(template: string, specials: readonly string[]): TemplateFormat | undefined {
  return template.includes('tools') ? known.find(({ isOf }) => isOf(template, specials)) : undefined;
}
