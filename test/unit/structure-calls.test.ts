/** Calls of every format as grammars have them: what is drawn is read back as calls that the tools' schemas allow. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { native } from '../../lib/native.js';
import { Answer } from '../../lib/output/answer.js';
import type { FormatMaker } from '../../lib/output/format.js';
import { gemma4 } from '../../lib/output/formats/gemma.js';
import { harmony } from '../../lib/output/formats/harmony.js';
import * as blocks from '../../lib/output/formats/json-blocks.js';
import * as named from '../../lib/output/formats/named-json.js';
import { lfm2 } from '../../lib/output/formats/pythonic.js';
import * as tags from '../../lib/output/formats/tagged.js';
import { OutputParser } from '../../lib/output/parser.js';
import { codedMarker, markerOf } from '../../lib/output/special-text.js';
import type { AnswerTask, ToolTask } from '../../lib/structure/answer-shape.js';
import { decoderOf, Structure, Structures } from '../../lib/structure/structure.js';
import { genericFormat } from '../../lib/tools/generic.js';
import { seeded } from './structure-grammar.js';

const json: Record<string, FormatMaker> = {
  ...{ hermes: blocks.hermes, llama3: blocks.llama3, granite3: blocks.granite3, apertus: blocks.apertus },
  ...{ toolCallsTag: blocks.toolCallsTag, nemotron: blocks.nemotron, firefunction: blocks.firefunction },
  ...{ gigaChat: blocks.gigaChat, commandR: blocks.commandR, commandR7b: blocks.commandR7b },
  ...{ mistralList: blocks.mistralList, generic: genericFormat, harmony },
  ...{ deepseek31: named.deepseek31, deepseek: named.deepseek, functionary31: named.functionary31 },
  ...{ kimi: named.kimi, functionary32: named.functionary32, mistralNamed: named.mistralNamed },
};
const tagged: Record<string, FormatMaker> = {
  ...{ qwenCoder: tags.qwenCoder, seed: tags.seed, minimax: tags.minimax, glm: tags.glm },
  ...{ dsml: tags.dsmlToolCalls, minicpm: tags.minicpm },
};
const own: Record<string, FormatMaker> = { gemma4, lfm2 };

/** Markers that vocabularies have as tokens. */
const markers = [
  ...['<tool_call>', '</tool_call>', '<|python_tag|>', '<|tool_call|>', '<|/tool_call|>', '<tool_calls>'],
  ...[
    '</tool_calls>',
    '<TOOLCALL>',
    '</TOOLCALL>',
    '<|function_call|>',
    '<|START_ACTION|>',
    '<|END_ACTION|>',
  ],
  ...[
    '<|tools_prefix|>',
    '<|tools_suffix|>',
    '[TOOL_CALLS]',
    '[ARGS]',
    '[CALL_ID]',
    '<｜tool▁calls▁begin｜>',
  ],
  ...[
    '<｜tool▁calls▁end｜>',
    '<｜tool▁call▁begin｜>',
    '<｜tool▁call▁end｜>',
    '<｜tool▁sep｜>',
    '<|channel|>',
  ],
  ...[
    '<|tool_calls_section_begin|>',
    '<|tool_calls_section_end|>',
    '<|tool_call_begin|>',
    '<|tool_call_end|>',
  ],
  ...['<|tool_call_argument_begin|>', '<|message|>', '<|call|>', '<|start|>', '<|end|>', '<|constrain|>'],
  ...['<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>', '<|tool_call>', '<|tool_call_start|>'],
];
const pieces = ['": ', '{"', '"}', '": "', 'true', '", "', '</', 'abc'];
const end = 256 + pieces.length;
const specials = new Map(markers.map((marker, i) => [marker, end + 1 + i]));
const size = end + 1 + markers.length;

const structures = new Structures(native, {
  size,
  known: size,
  bytesOf: (id) => (id < 256 ? Uint8Array.of(id) : new TextEncoder().encode(pieces[id - 256])),
  isSpecial: (id) => id > end,
  textOf: (id) => markers[id - end - 1],
  endTokens: new Set([end]),
});

const tools: ToolTask[] = [
  {
    name: 'weather.of',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', maxLength: 12 },
        unit: { enum: ['C', 'F'] },
        days: { type: 'integer', minimum: 1, maximum: 14 },
        at: { anyOf: [{ type: 'null' }, { type: 'string', pattern: '^[0-9]{2}:[0-9]{2}$' }] },
        where: {
          type: 'object',
          properties: { lat: { type: 'number' }, '<b>': { const: '</parameter>' } },
          required: ['lat', '<b>'],
          additionalProperties: false,
        },
        code: { type: 'string', pattern: '^[A-Z]+<?$' },
      },
      required: ['city', 'days', 'where', 'code'],
      additionalProperties: false,
    },
  },
  { name: 'now', parameters: { type: 'object', properties: {}, additionalProperties: false } },
];
const validators = new Map(
  tools.map(({ name, parameters }) => [name, new Ajv2020().compile(parameters as object)]),
);

function context(known: ReadonlyMap<string, number>) {
  return {
    coded: (marker: string) => codedMarker(marker, known.keys()),
    marker: (marker: string) => markerOf(marker, known),
    tools,
    tellsReasoning: true,
    promptEnd: '',
  };
}

async function drawn(task: AnswerTask, make: FormatMaker, known: ReadonlyMap<string, number>, seed: number) {
  const compiled = await structures.compile(task);
  const random = seeded(seed * 104_729 + 7);
  const most = 700;
  const structure = new Structure(compiled, most, new Set([end]));
  const decoder = decoderOf(compiled);
  const answer = new Answer(
    [],
    tools.map(({ name }) => name),
  );
  const parser = new OutputParser({ format: make(context(known)), answer });
  let text = '';
  for (let remaining = most; remaining > 0 && !structure.over && !answer.ended; remaining--) {
    const { bits } = structure.mask(remaining);
    const allowed = Array.from({ length: size }, (_, id) => id).filter(
      (id) => (bits[id >>> 5] >>> (id & 31)) & 1,
    );
    // Ends come soon enough.
    const token =
      allowed.includes(end) && random() < 0.5 ? end : allowed[Math.floor(random() * allowed.length)];
    if (token === end) break;
    structure.accept(token);
    const [said, unseen] = [decoder.push(token), decoder.unseen(token)];
    text += said + unseen;
    parser.push(said, unseen);
  }
  expect(structure.complete).toBe(true);
  parser.flush(decoder.flush());
  return { answer, text };
}

const none: ReadonlyMap<string, number> = new Map();
const all = { ...json, ...tagged };

describe.each(Object.entries(all))('%s', (_, make) => {
  it.each([
    ['as tokens', specials],
    ['as text', none],
  ])('gives calls that its parser reads, markers %s', async (_name, known) => {
    const { syntax, messages } = make(context(known));
    // Where markers are text there are no such tokens.
    const ends = known.size > 0 ? [end] : [end, ...specials.values()];
    const task: AnswerTask = { shape: { calls: { syntax, tools, isRequired: true }, messages }, ends };
    const seen = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const { answer, text } = await drawn(task, make, known, seed);
      expect(answer.calls.length, text).toBeGreaterThan(0);
      for (const { name, arguments: given, error } of answer.calls) {
        expect(error, text).toBeUndefined();
        expect(validators.get(name)!(given), `${text}: ${JSON.stringify(given)}`).toBe(true);
        seen.add(name);
      }
      // Messages may come before.
      if (!messages) expect(answer.text.trim(), text).toBe('');
    }
    expect([...seen].sort()).toEqual(['now', 'weather.of']);
  });
});

describe('what cannot be enforced', () => {
  it.each(Object.entries(own))(
    'is refused for strict tools in the notation of %s, else free',
    async (_, make) => {
      const { syntax } = make(context(specials));
      const shape = (strict?: boolean) => ({
        calls: { syntax, tools: tools.map((tool) => ({ ...tool, strict })), isRequired: true },
      });
      await expect(structures.compile({ shape: shape(true) })).rejects.toThrow(
        /'weather.of' cannot be strict/,
      );
      await expect(structures.compile({ shape: shape() })).resolves.toBeDefined();
    },
  );

  it('is refused for a strict tool by keyword and path, else any object is a call', async () => {
    const beyond = { type: 'object', properties: { x: { multipleOf: 0.1, type: 'number' } } };
    for (const make of [blocks.hermes, tags.glm]) {
      const { syntax } = make(context(specials));
      const task = (strict?: boolean): AnswerTask => ({
        shape: { calls: { syntax, tools: [{ name: 'now', parameters: beyond, strict }], isRequired: true } },
        ends: [end],
      });
      await expect(structures.compile(task(true))).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringMatching(/'now' is strict.*#\/properties\/x\/multipleOf/),
      });
      await expect(structures.compile(task())).resolves.toBeDefined();
    }
    const { answer } = await drawn(
      {
        shape: {
          calls: {
            syntax: blocks.hermes(context(specials)).syntax,
            tools: [{ name: 'now', parameters: beyond }],
            isRequired: true,
          },
        },
        ends: [end],
      },
      blocks.hermes,
      specials,
      3,
    );
    expect(answer.calls[0].error).toBeUndefined();
  });
});
