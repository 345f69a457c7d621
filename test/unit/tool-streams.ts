/**
 * What models of each family write when they call tools, as scripts: texts of our own in that family's format. `templates`
 * are files of the collection that llama.cpp tests itself with (scripts/sweeps/tools.mjs renders those); `fragment` has the
 * markers by which such templates are known.
 */

export interface ScriptedCall {
  name: string;
  arguments: Record<string, unknown>;
}

export interface Script {
  what: string;
  /** Special tokens are spelled. */
  output: string;
  calls: ScriptedCall[];
  text?: string;
  reasoning?: string;
  /** The prompt ends with this. */
  promptEnd?: string;
}

export interface Family {
  name: string;
  templates: string[];
  fragment: string;
  /** Special tokens of its vocabularies. */
  specials: string[];
  scripts: Script[];
}

/** The tools of all scripts. */
export const tools = [
  {
    name: 'get_weather',
    description: 'Weather of a place.',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', description: 'Its name.' },
        days: { type: 'integer', description: 'How many.' },
        units: { type: 'object', description: 'Of what.' },
      },
      required: ['city'],
    },
  },
  {
    name: 'say',
    description: 'Says a text.',
    parameters: {
      type: 'object',
      properties: { text: { type: 'string', description: 'Which.' } },
      required: ['text'],
    },
  },
];

const weather = (city: string, days?: number): ScriptedCall => ({
  name: 'get_weather',
  arguments: days === undefined ? { city } : { city, days },
});
const hard = 'a "b" \\ </x> é🍣\n<tool>{}';
const say = (text: string): ScriptedCall => ({ name: 'say', arguments: { text } });

export const families: Family[] = [
  {
    name: 'hermes',
    templates: [
      'NousResearch-Hermes-3-Llama-3.1-8B-tool_use.jinja',
      'Qwen-Qwen2.5-7B-Instruct.jinja',
      'Qwen-Qwen3-0.6B.jinja',
      'Qwen-QwQ-32B.jinja',
      'ibm-granite-granite-4.0.jinja',
      'MiMo-VL.jinja',
    ],
    fragment: '{{ tools }}<tool_call>\n{"name": n, "arguments": a}\n</tool_call><think></think>',
    specials: ['<|im_end|>'],
    scripts: [
      {
        what: 'one call',
        output:
          '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
        calls: [weather('Oslo', 3)],
      },
      {
        what: 'text, two calls, text',
        output: `Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n<tool_call>\n{"name": "say", "arguments": {"text": ${JSON.stringify(hard)}}}\n</tool_call>\nDone.`,
        calls: [weather('Oslo'), say(hard)],
        text: 'Let me see.Done.',
      },
      {
        what: 'thoughts, then a call',
        output:
          '<think>\nThey want <tool> weather.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
        calls: [weather('Oslo')],
        reasoning: 'They want <tool> weather.',
      },
      {
        what: 'thoughts that the prompt has opened',
        promptEnd: '<|im_start|>assistant\n<think>\n',
        output:
          'Hm.\n</think>\n\n<tool_call>\n{"arguments": {"city": "Oslo"}, "name": "get_weather"}\n</tool_call>',
        calls: [weather('Oslo')],
        reasoning: 'Hm.',
      },
      {
        what: 'arguments as a string, none, null, and a list',
        output:
          '<tool_call>{"name": "say", "arguments": "{\\"text\\": \\"x\\"}"}</tool_call><tool_call>{"name": "say"}</tool_call>' +
          '<tool_call>[{"name": "say", "arguments": null}, {"name": "say", "arguments": {"text": "y"}}]</tool_call>',
        calls: [say('x'), { name: 'say', arguments: {} }, { name: 'say', arguments: {} }, say('y')],
      },
      {
        what: 'no call',
        output: 'It is 5 < 6 and <tool_ca is nothing.\n',
        calls: [],
        text: 'It is 5 < 6 and <tool_ca is nothing.\n',
      },
    ],
  },
  {
    name: 'llama-3',
    templates: [
      'meta-llama-Llama-3.1-8B-Instruct.jinja',
      'meta-llama-Llama-3.2-3B-Instruct.jinja',
      'meta-llama-Llama-3.3-70B-Instruct.jinja',
    ],
    fragment: `{{ tools }}<|start_header_id|>ipython<|end_header_id|>{"name": n, "parameters": }`,
    specials: ['<|python_tag|>', '<|eot_id|>', '<|eom_id|>', '<|start_header_id|>', '<|end_header_id|>'],
    scripts: [
      {
        what: 'one call',
        output: '{"name": "get_weather", "parameters": {"city": "Oslo", "days": 3}}',
        calls: [weather('Oslo', 3)],
      },
      {
        what: 'behind the tag',
        output: `<|python_tag|>{"type": "function", "name": "say", "parameters": {"text": ${JSON.stringify(hard)}}}; {"name": "say", "parameters": {"text": "x"}}`,
        calls: [say(hard), say('x')],
      },
      {
        what: 'JSON that is no call',
        output: '{"name": "Oslo", "parameters": {"size": 3}}\nThat is it.',
        calls: [],
        text: '{"name": "Oslo", "parameters": {"size": 3}}\nThat is it.',
      },
      { what: 'no call', output: 'The tag <|python and {x}.', calls: [], text: 'The tag <|python and {x}.' },
    ],
  },
  {
    name: 'mistral-list',
    templates: ['mistralai-Mistral-Nemo-Instruct-2407.jinja'],
    fragment: '{{ tools }}[TOOL_CALLS][{{ c }}]',
    specials: ['[TOOL_CALLS]', '[AVAILABLE_TOOLS]', '</s>'],
    scripts: [
      {
        what: 'two calls',
        output: `[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "abcdefghi"}, {"name": "say", "arguments": {"text": ${JSON.stringify(hard)}}, "id": "jklmnopqr"}]`,
        calls: [weather('Oslo'), say(hard)],
      },
      {
        what: 'text first',
        output: 'Hm. [TOOL_CALLS] [{"name": "say", "arguments": {"text": "x"}}]',
        calls: [say('x')],
        text: 'Hm.',
      },
    ],
  },
  {
    name: 'mistral',
    templates: [
      'Mistral-Small-3.2-24B-Instruct-2506.jinja',
      'unsloth-mistral-Devstral-Small-2507.jinja',
      'mistralai-Ministral-3-14B-Reasoning-2512.jinja',
    ],
    fragment: '{{ tools }}[TOOL_CALLS]n[ARGS]{}[THINK][/THINK]',
    specials: ['[TOOL_CALLS]', '[ARGS]', '[CALL_ID]', '[THINK]', '[/THINK]', '</s>'],
    scripts: [
      {
        what: 'two calls',
        output: `[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{"city": "Oslo", "days": 3}[TOOL_CALLS]say[ARGS]{"text": ${JSON.stringify(hard)}}`,
        calls: [weather('Oslo', 3), say(hard)],
      },
      {
        what: 'thoughts and text first',
        output: '[THINK]Well.\nYes.[/THINK]I look. [TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}',
        calls: [weather('Oslo')],
        text: 'I look.',
        reasoning: 'Well.\nYes.',
      },
    ],
  },
];
