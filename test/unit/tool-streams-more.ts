/** Scripts of further families: see tool-streams.ts. */
import type { Family, ScriptedCall } from './tool-streams.js';

const weather = (city: string, days?: number): ScriptedCall => ({
  name: 'get_weather',
  arguments: days === undefined ? { city } : { city, days },
});
const hard = 'a "b" \\ </x> é🍣\n<tool>{}';
const json = JSON.stringify(hard);
const say = (text: string): ScriptedCall => ({ name: 'say', arguments: { text } });
const units = { name: 'get_weather', arguments: { city: '7', units: { t: ['C', null] } } };

export const moreFamilies: Family[] = [
  {
    name: 'deepseek-3.1',
    templates: ['deepseek-ai-DeepSeek-V3.1.jinja'],
    fragment: '{{ tools }}<｜tool▁calls▁begin｜></think>',
    specials: [
      '<｜tool▁calls▁begin｜>',
      '<｜tool▁calls▁end｜>',
      '<｜tool▁call▁begin｜>',
      '<｜tool▁call▁end｜>',
      '<｜tool▁sep｜>',
    ],
    scripts: [
      {
        what: 'two calls',
        output: `Ok.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Oslo", "days": 3}<｜tool▁call▁end｜><｜tool▁call▁begin｜>say<｜tool▁sep｜>{"text": ${json}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
        calls: [weather('Oslo', 3), say(hard)],
        text: 'Ok.',
      },
    ],
  },
  {
    name: 'deepseek',
    templates: ['llama-cpp-deepseek-r1.jinja', 'deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja'],
    fragment: '{{ tools }}<｜tool▁calls▁begin｜>```json</think>',
    specials: [
      '<｜tool▁calls▁begin｜>',
      '<｜tool▁calls▁end｜>',
      '<｜tool▁call▁begin｜>',
      '<｜tool▁call▁end｜>',
      '<｜tool▁sep｜>',
    ],
    scripts: [
      {
        what: 'two calls',
        output: `<think>\nHm.\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n{"city": "Oslo", "days": 3}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>say\n\`\`\`json\n{"text": ${json}}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
        calls: [weather('Oslo', 3), say(hard)],
        reasoning: 'Hm.',
      },
    ],
  },
  {
    name: 'kimi',
    templates: ['Kimi-K2-Instruct.jinja', 'Kimi-K2-Thinking.jinja'],
    fragment: '{{ tools }}<|tool_calls_section_begin|><|tool_call_begin|><|tool_call_argument_begin|>',
    specials: [
      '<|tool_calls_section_begin|>',
      '<|tool_calls_section_end|>',
      '<|tool_call_begin|>',
      '<|tool_call_argument_begin|>',
      '<|tool_call_end|>',
    ],
    scripts: [
      {
        what: 'two calls',
        output: `So.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Oslo", "days": 3}<|tool_call_end|><|tool_call_begin|>functions.say:1<|tool_call_argument_begin|>{"text": ${json}}<|tool_call_end|><|tool_calls_section_end|>`,
        calls: [weather('Oslo', 3), say(hard)],
        text: 'So.',
      },
    ],
  },
  {
    name: 'functionary-3.1',
    templates: ['meetkai-functionary-medium-v3.1.jinja'],
    fragment: '{{ tools }}<function=f>{}</function>',
    specials: ['<|eom_id|>'],
    scripts: [
      {
        what: 'two calls',
        output: `<function=get_weather>{"city": "Oslo", "days": 3}</function><function=say>{"text": ${json}}</function>`,
        calls: [weather('Oslo', 3), say(hard)],
      },
    ],
  },
  {
    name: 'functionary-3.2',
    templates: ['meetkai-functionary-medium-v3.2.jinja'],
    fragment: "{{ tools }}{{ '>>>all\n' }}",
    specials: [],
    scripts: [
      {
        what: 'text, then two calls',
        promptEnd: '>>>',
        output: `all\nI look.>>>get_weather\n{"city": "Oslo", "days": 3}>>>say\n{"text": ${json}}`,
        calls: [weather('Oslo', 3), say(hard)],
        text: 'I look.',
      },
      { what: 'text', promptEnd: '>>>', output: 'all\nIt is 5 >> 4.\n', calls: [], text: 'It is 5 >> 4.\n' },
    ],
  },
  {
    name: 'firefunction',
    templates: ['fireworks-ai-llama-3-firefunction-v2.jinja'],
    fragment: "{{ tools }}{{ ' functools[' }}",
    specials: [],
    scripts: [
      {
        what: 'two calls',
        output: ` functools[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}, {"name": "say", "arguments": {"text": ${json}}}]`,
        calls: [weather('Oslo', 3), say(hard)],
      },
    ],
  },
  {
    name: 'command-r',
    templates: ['CohereForAI-c4ai-command-r-plus-tool_use.jinja'],
    fragment: '{{ tools }}Action: ```json [{"tool_name": n}]```',
    specials: [],
    scripts: [
      {
        what: 'two calls',
        output: `I look.\nAction:\n\`\`\`json\n[\n    {\n        "tool_name": "get_weather",\n        "parameters": {"city": "Oslo", "days": 3}\n    },\n    {"tool_name": "say", "parameters": {"text": ${json}}}\n]\`\`\``,
        calls: [weather('Oslo', 3), say(hard)],
        text: 'I look.',
      },
    ],
  },
  {
    name: 'command-r7b',
    templates: ['CohereForAI-c4ai-command-r7b-12-2024-tool_use.jinja', 'Cohere2MoE.jinja'],
    fragment:
      '{{ tools }}<|START_ACTION|><|END_ACTION|><|START_THINKING|><|END_THINKING|><|START_RESPONSE|><|END_RESPONSE|>',
    specials: [
      '<|START_ACTION|>',
      '<|END_ACTION|>',
      '<|START_THINKING|>',
      '<|END_THINKING|>',
      '<|START_RESPONSE|>',
      '<|END_RESPONSE|>',
    ],
    scripts: [
      {
        what: 'thoughts, then two calls',
        output: `<|START_THINKING|>Hm.<|END_THINKING|><|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "Oslo", "days": 3}},\n    {"tool_call_id": "1", "tool_name": "say", "parameters": {"text": ${json}}}\n]<|END_ACTION|>`,
        calls: [weather('Oslo', 3), say(hard)],
        reasoning: 'Hm.',
      },
      { what: 'a response', output: '<|START_RESPONSE|>Yes.<|END_RESPONSE|>', calls: [], text: 'Yes.' },
    ],
  },
  {
    name: 'apertus',
    templates: ['Apertus-8B-Instruct.jinja'],
    fragment: '{{ tools }}<|tools_prefix|><|tools_suffix|><|inner_prefix|><|inner_suffix|>',
    specials: ['<|tools_prefix|>', '<|tools_suffix|>', '<|inner_prefix|>', '<|inner_suffix|>'],
    scripts: [
      {
        what: 'two calls',
        output: `<|inner_prefix|>Hm.<|inner_suffix|><|tools_prefix|>[{"get_weather": {"city": "Oslo", "days": 3}}, {"say": {"text": ${json}}}]<|tools_suffix|>`,
        calls: [weather('Oslo', 3), say(hard)],
        reasoning: 'Hm.',
      },
    ],
  },
  {
    name: 'nemotron',
    templates: ['NVIDIA-Nemotron-Nano-v2.jinja'],
    fragment: '{{ tools }}<TOOLCALL>[]</TOOLCALL>',
    specials: [],
    scripts: [
      {
        what: 'two calls',
        output: `<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}, {"name": "say", "arguments": {"text": ${json}}}]</TOOLCALL>`,
        calls: [weather('Oslo', 3), say(hard)],
      },
    ],
  },
  {
    name: 'lfm2',
    templates: ['LFM2-8B-A1B.jinja', 'LFM2.5-8B-A1B.jinja'],
    fragment: '{{ tools }}List of tools: <|tool_list_start|><|tool_call_start|>',
    specials: ['<|tool_call_start|>', '<|tool_call_end|>'],
    scripts: [
      {
        what: 'two calls',
        output: `<|tool_call_start|>[get_weather(city="Oslo", days=3), say(text='a "b" \\\\ </x> é\\ud83c\\udf63\\n<tool>{}')]<|tool_call_end|>Done.`,
        calls: [weather('Oslo', 3), say(hard)],
        text: 'Done.',
      },
      {
        what: 'all kinds of values',
        output: `<|tool_call_start|>[get_weather(city='7', units={"t": ['C', None]}), say()]<|tool_call_end|>`,
        calls: [units, { name: 'say', arguments: {} }],
      },
    ],
  },
  {
    name: 'granite-3',
    templates: ['ibm-granite-granite-3.3-2B-Instruct.jinja'],
    fragment: '{{ tools }}<|tool_call|>',
    specials: ['<|tool_call|>', '<|/tool_call|>'],
    scripts: [
      {
        what: 'two calls',
        output: `<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}, {"name": "say", "arguments": {"text": ${json}}}]`,
        calls: [weather('Oslo', 3), say(hard)],
      },
      {
        what: 'as Phi-4 ends them',
        output: `<|tool_call|>[{"name": "say", "arguments": {"text": ${json}}}]<|/tool_call|>`,
        calls: [say(hard)],
      },
    ],
  },
  {
    name: 'tool-calls-tag',
    templates: ['MiniMax-M1.jinja', 'unsloth-Apriel-1.5.jinja', 'Apriel-1.6-15b-Thinker-fixed.jinja'],
    fragment: '{{ tools }}<tool_calls>[]</tool_calls>',
    specials: [],
    scripts: [
      {
        what: 'objects in lines',
        output: `<tool_calls>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}\n{"name": "say", "arguments": {"text": ${json}}}\n</tool_calls>`,
        calls: [weather('Oslo', 3), say(hard)],
      },
      {
        what: 'a list',
        output: `Yes.\n<tool_calls>[{"name": "say", "arguments": {"text": ${json}}, "id": "x"}]</tool_calls>`,
        calls: [say(hard)],
        text: 'Yes.',
      },
    ],
  },
  {
    name: 'gemma-4',
    templates: ['google-gemma-4-31B-it.jinja', 'google-gemma-4-31B-it-interleaved.jinja'],
    fragment: '{{ tools }}<|tool_call>call:<tool_call|><|channel>thought\n<channel|>',
    specials: ['<|tool_call>', '<tool_call|>', '<|"|>', '<|channel>', '<channel|>'],
    scripts: [
      {
        what: 'thoughts, then two calls',
        output: `<|channel>thought\nHm.\n<channel|><|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:3}<tool_call|><|tool_call>call:say{text:<|"|>${hard}<|"|>}<tool_call|>`,
        calls: [weather('Oslo', 3), say(hard)],
        reasoning: 'Hm.',
      },
      {
        what: 'all kinds of values',
        output:
          '<|tool_call>call:get_weather{city:<|"|>7<|"|>,units:{<|"|>t<|"|>:[<|"|>C<|"|>,null]}}<tool_call|><|tool_call>call:say{}<tool_call|>',
        calls: [units, { name: 'say', arguments: {} }],
      },
    ],
  },
  {
    name: 'harmony',
    templates: ['openai-gpt-oss-120b.jinja'],
    fragment: '{{ tools }}<|channel|>commentary<|message|><|channel|>analysis<|message|><|end|>',
    specials: [
      '<|start|>',
      '<|end|>',
      '<|message|>',
      '<|channel|>',
      '<|constrain|>',
      '<|call|>',
      '<|return|>',
    ],
    scripts: [
      {
        what: 'thoughts, text for the user, and a call',
        promptEnd: '<|start|>assistant',
        output: `<|channel|>analysis<|message|>They want weather.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Oslo", "days": 3}<|call|>`,
        calls: [weather('Oslo', 3)],
        text: 'I look.',
        reasoning: 'They want weather.',
      },
      {
        what: 'the recipient before the channel',
        promptEnd: '<|start|>assistant',
        output: ` to=functions.say<|channel|>commentary json<|message|>{"text": ${json}}<|call|>`,
        calls: [say(hard)],
      },
      {
        what: 'an answer',
        promptEnd: '<|start|>assistant',
        output:
          '<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>analysis<|message|>B.<|end|><|start|>assistant<|channel|>final<|message|>It is 5.<|return|>',
        calls: [],
        text: 'It is 5.',
        reasoning: 'A.\n\nB.',
      },
    ],
  },
];
