/** Scripts of families that write arguments between tags: see tool-streams.ts. */
import type { Family, ScriptedCall } from './tool-streams.js';

const weather = (city: string, days?: number): ScriptedCall => ({
  name: 'get_weather',
  arguments: days === undefined ? { city } : { city, days },
});
const hard = 'a "b" \\ </x> é🍣\n<tool>{}';
const say = (text: string): ScriptedCall => ({ name: 'say', arguments: { text } });
const units = { name: 'get_weather', arguments: { city: '7', units: { t: ['C', null] } } };

export const taggedFamilies: Family[] = [
  {
    name: 'qwen-coder',
    templates: [
      'Qwen3-Coder.jinja',
      'Qwen3.5-4B.jinja',
      'NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.jinja',
      'StepFun3.5-Flash.jinja',
    ],
    fragment:
      '{{ tools }}<tool_call>\n<function=f>\n<parameter=p>\nv\n</parameter>\n</function>\n</tool_call></think>',
    specials: ['<|im_end|>'],
    scripts: [
      {
        what: 'two calls',
        output: `<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=say>\n<parameter=text>\n${hard}\n\n</parameter>\n</function>\n</tool_call>`,
        calls: [weather('Oslo', 3), say(`${hard}\n`)],
      },
      {
        what: 'values by their schema, and none',
        output:
          'Now.\n<tool_call>\n<function=get_weather>\n<parameter=city>\n7\n</parameter>\n<parameter=units>\n{"t": ["C", null]}\n</parameter>\n</function>\n</tool_call><tool_call><function=say></function></tool_call>',
        calls: [units, { name: 'say', arguments: {} }],
        text: 'Now.',
      },
      {
        what: 'no call',
        output: 'A <tool_call> of nothing, <function=x>.',
        calls: [],
        text: 'A <tool_call> of nothing, <function=x>.',
      },
    ],
  },
  {
    name: 'seed',
    templates: ['ByteDance-Seed-OSS.jinja'],
    fragment: '{{ tools }}<seed:tool_call><function=f></seed:tool_call><seed:think></seed:think>',
    specials: ['<seed:tool_call>', '</seed:tool_call>', '<seed:think>', '</seed:think>', '<seed:eos>'],
    scripts: [
      {
        what: 'thoughts, then a call',
        output: `<seed:think>Hm.</seed:think>\n<seed:tool_call>\n<function=get_weather>\n<parameter=city>Oslo</parameter>\n<parameter=days>3</parameter>\n</function>\n<function=say>\n<parameter=text>${hard}</parameter>\n</function>\n</seed:tool_call>`,
        calls: [weather('Oslo', 3), say(hard)],
        reasoning: 'Hm.',
      },
    ],
  },
  {
    name: 'minimax',
    templates: ['MiniMax-M2.jinja'],
    fragment: '{{ tools }}<minimax:tool_call><invoke name="f"></minimax:tool_call><think></think>',
    specials: ['<minimax:tool_call>', '</minimax:tool_call>', '<think>', '</think>'],
    scripts: [
      {
        what: 'two calls in a section',
        promptEnd: ']~b]ai\n<think>\n',
        output: `Hm.\n</think>\n\n<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Oslo</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n<invoke name="say">\n<parameter name="text">${hard}</parameter>\n</invoke>\n</minimax:tool_call>`,
        calls: [weather('Oslo', 3), say(hard)],
        reasoning: 'Hm.',
      },
    ],
  },
  {
    name: 'deepseek-dsml',
    templates: ['deepseek-ai-DeepSeek-V3.2.jinja'],
    fragment: "{{ tools }}{% set dsml_token = '｜DSML｜' %}</think>",
    specials: ['<think>', '</think>'],
    scripts: [
      {
        what: 'two calls',
        output: `I look.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>\n<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name="say">\n<｜DSML｜parameter name="text" string="true">${hard}</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>`,
        calls: [weather('Oslo', 3), say(hard)],
        text: 'I look.',
      },
    ],
  },
  {
    name: 'deepseek-dsml-calls',
    templates: ['deepseek-ai-DeepSeek-V4.jinja', 'deepseek-ai-DeepSeek-V4-Flash-0731.jinja'],
    fragment: "{{ tools }}{% set dsml_token = '｜DSML｜' %}{{ '<' + dsml_token + 'tool_calls>' }}</think>",
    specials: [],
    scripts: [
      {
        what: 'one call without arguments',
        output:
          '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="say">\n\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>',
        calls: [{ name: 'say', arguments: {} }],
      },
    ],
  },
  {
    name: 'glm',
    templates: [
      'GLM-4.6.jinja',
      'GLM-4.7-Flash.jinja',
      'inclusionai-ling-3.0-flash.jinja',
      'poolside-Laguna-XS-2.1.jinja',
    ],
    fragment:
      '{{ tools }}<tool_call>f<arg_key>k</arg_key><arg_value>v</arg_value></tool_call><think></think>',
    specials: [
      '<tool_call>',
      '</tool_call>',
      '<arg_key>',
      '</arg_key>',
      '<arg_value>',
      '</arg_value>',
      '<think>',
      '</think>',
    ],
    scripts: [
      {
        what: 'with and without line ends',
        output: `<think></think>Two.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call><tool_call>say<arg_key>text</arg_key><arg_value>${hard}</arg_value></tool_call><tool_call>say</tool_call>`,
        calls: [weather('Oslo', 3), say(hard), { name: 'say', arguments: {} }],
        text: 'Two.',
      },
    ],
  },
  {
    name: 'minicpm',
    templates: ['openbmb-MiniCPM5-1B.jinja'],
    fragment: '{{ tools }}<function name="f"><param name="p">v</param></function>',
    specials: [],
    scripts: [
      {
        what: 'plain and quoted values',
        output: `<function name="get_weather"><param name="city">Oslo</param><param name="days">3</param></function><function name="say"><param name="text"><![CDATA[${hard}]]></param></function>`,
        calls: [weather('Oslo', 3), say(hard)],
      },
    ],
  },
];
