/** Tools and reasoning from options to chunks and results: a real engine and tokenizer, and a model that writes what it is told. */
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import { launch } from '../../lib/engine/launch.js';
import type { Generation, GenerationChunk } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateOptions, parseGenerateOptions } from '../../lib/options.js';
import { checkChatPrompt, prepareChat } from '../../lib/tools/chat.js';
import { native as addon } from '../../lib/native.js';
import { Structures } from '../../lib/structure/structure.js';
import { structureVocabularyOf, vocabularyOf } from '../../lib/vocabulary.js';
import { chatTemplate, chatTokenizer } from './chat-tokenizer.js';
import { ScriptedNative } from './scripted-native.js';

const special = ['<end>', '<turn>', '<think>', '</think>'];
const END = 200;
const tools = [
  {
    name: 'add',
    description: 'Adds.',
    parameters: { type: 'object', properties: { a: { type: 'number' }, b: { type: 'number' } } },
  },
  { name: 'now', description: 'The time.' },
];
/** The model writes what it likes. */
const free = tools.map((tool) => ({ ...tool, strict: false }));
const messages = [{ role: 'user', content: 'Hi' }];
const call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>';

let open: Awaited<ReturnType<typeof chatTokenizer>>;
let native: ScriptedNative;
let engine: Engine;

async function begin(template: string): Promise<void> {
  const known = built.get(template) ?? (await chatTokenizer(template, special));
  built.set(template, known);
  open = known;
  native = new ScriptedNative(END, { vocabSize: 300 });
  engine = new Engine(native, 4000);
}

/** Tokenizers by their template, built once. */
const built = new Map<string, Awaited<ReturnType<typeof chatTokenizer>>>();

beforeEach(() => begin(chatTemplate));
afterEach(() => engine.dispose());
afterAll(async () => {
  for (const one of built.values()) await one.close();
});

/** As `generate` does. */
function generate(script: string, options: GenerateOptions = {}, given = messages): Generation {
  native.next(open.idsOf(script));
  const settings = parseGenerateOptions({ maxTokens: 1000, ...options }, {}, 300);
  const vocabulary = vocabularyOf(open.tokenizer, 300, [END]);
  const structures = new Structures(addon, structureVocabularyOf(open.tokenizer, 300, [END]));
  return launch(
    { engine, contextLength: 4000, vocabulary, buffers: new SamplerBuffers(300), structures },
    {
      settings,
      cache: { reuse: true },
      encode: (signal) => prepareChat(open.tokenizer, { messages: given, settings: settings.chat, signal }),
    },
  );
}

async function chunksOf(run: Generation): Promise<GenerationChunk[]> {
  const chunks: GenerationChunk[] = [];
  for await (const chunk of run) chunks.push(chunk);
  return chunks;
}

describe('calls', () => {
  it('come as chunks of their own, name and id first, and in the result', async () => {
    const run = generate(`I add. ${call}`, { tools });
    const chunks = await chunksOf(run);
    const result = await run;
    expect(result).toMatchObject({
      text: 'I add.',
      finishReason: 'tool_calls',
      toolCalls: [{ name: 'add', arguments: { a: 1, b: 2 }, argumentsText: '{"a": 1, "b": 2}' }],
    });
    expect(result.reasoning).toBeUndefined();
    const calls = chunks.filter((chunk) => chunk.type === 'tool-call');
    expect(calls[0]).toMatchObject({ index: 0, name: 'add', id: result.toolCalls![0].id, text: '' });
    expect(calls.slice(1).every(({ id, name, index }) => !id && !name && index === 0)).toBe(true);
    expect(calls.map((chunk) => chunk.arguments).join('')).toBe('{"a": 1, "b": 2}');
    expect(chunks.map(({ text }) => text).join('')).toBe('I add.');
    expect(chunks.flatMap((chunk) => chunk.tokens)).toEqual(result.tokens);
    expect(result.toolCalls![0].id).toMatch(/^[A-Za-z0-9]{9}$/);
  });

  it('are none without tools, or where they are not to be made', async () => {
    const without = await generate(call);
    expect(without).toMatchObject({ text: call, finishReason: 'stop' });
    expect(without.toolCalls).toBeUndefined();
    expect(await generate(call, { tools, toolChoice: 'none' })).toMatchObject({
      text: call,
      finishReason: 'stop',
    });
    expect(await generate('No.', { tools })).toMatchObject({
      text: 'No.',
      toolCalls: [],
      finishReason: 'stop',
    });
  });

  it('several at once, and damaged ones, say what is wrong', async () => {
    const result = await generate(
      `${call}<tool_call>{"name": "add", "arguments": {"a": }}</tool_call><tool_call>{"name": "sub", "arguments": {}}</tool_call>` +
        '<tool_call>{"name": "now", "arguments": {"x": 1',
      { tools: free },
    );
    expect(result.toolCalls).toMatchObject([
      { name: 'add', arguments: { a: 1, b: 2 } },
      { name: 'add', arguments: {}, argumentsText: '{"a": }}', error: 'The arguments are no JSON.' },
      { name: 'sub', error: "There is no tool 'sub'." },
      { name: 'now', argumentsText: '{"x": 1', error: 'The call was cut off.' },
    ]);
    expect(result.text).toBe('');
  });

  it('leave stop strings to the text', async () => {
    const inCall = call.replace('1', '"STOP"');
    const stopsLate = { tools: free, stop: 'STOP' };
    expect(await generate(inCall, stopsLate)).toMatchObject({ finishReason: 'tool_calls' });
    const stopped = await generate(`Well STOP ${call}`, { tools, stop: 'STOP' });
    expect(stopped).toMatchObject({ text: 'Well ', finishReason: 'stop', toolCalls: [] });
  });

  it('keep log-probabilities, one for each token', async () => {
    const run = generate(`Hm.${call}`, { tools, logprobs: 2 });
    const chunks = await chunksOf(run);
    const { tokens, logprobs } = await run;
    expect(logprobs!.map(({ id }) => id)).toEqual(tokens);
    expect(chunks.flatMap((chunk) => chunk.logprobs ?? []).map(({ id }) => id)).toEqual(tokens);
  });
});

describe('a choice', () => {
  it('of a tool is enforced, and its arguments, whatever the model wants', async () => {
    const script = call.replace('"b": 2', '"b": "2"');
    for (const wanted of [script, '?'.repeat(300), 'No. I add nothing.']) {
      for (const { a } of [{ a: tools }, { a: [{ ...tools[0], strict: true }] }]) {
        native.reset();
        const run = await generate(wanted, { tools: a, toolChoice: { name: 'add' }, maxTokens: 120 });
        expect(run).toMatchObject({ text: '', finishReason: 'tool_calls' });
        for (const { name, arguments: given, error } of run.toolCalls!) {
          expect([name, error]).toEqual(['add', undefined]);
          for (const key of ['a', 'b']) if (key in given) expect(typeof given[key]).toBe('number');
        }
      }
    }
    native.reset();
    const exact = await generate(call, { tools, toolChoice: { name: 'add' } });
    expect(exact.toolCalls).toMatchObject([{ name: 'add', arguments: { a: 1, b: 2 } }]);
  });

  it('is not needed for arguments to be what their schema says', async () => {
    const script = `I add. ${call.replace('1', '"one"')}`;
    const run = await generate(script, { tools, maxTokens: 200 });
    expect(run.text).toBe('I add.');
    expect(run.toolCalls![0]).toMatchObject({ name: 'add' });
    expect(run.toolCalls![0].error).toBeUndefined();
    const { a = 0 } = run.toolCalls![0].arguments;
    expect(typeof a).toBe('number');
    // The model that is left alone writes what it likes.
    const other = await generate(script, { tools: free, maxTokens: 200 });
    expect(other.toolCalls![0].arguments.a).toBe('one');
  });

  it('with a strict tool that cannot be enforced is refused by keyword', async () => {
    const beyond = {
      name: 'x',
      strict: true,
      parameters: { type: 'object', properties: { y: { multipleOf: 0.1 } } },
    };
    await expect(generate('', { tools: [beyond] })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(/'x' is strict.*#\/properties\/y\/multipleOf/),
    });
    native.reset();
    expect(() => parseGenerateOptions({ tools: [{ name: 'x', strict: 'yes' }] }, {}, 300)).toThrow(/strict/);
  });

  it('of any tool lets the model choose which', async () => {
    const script = '<tool_call>\n{"name": "now", "arguments": {}}</tool_call>';
    expect(await generate(script, { tools, toolChoice: 'required', seed: 1 })).toMatchObject({
      toolCalls: [{ name: 'now', arguments: {} }],
    });
    const wild = await generate('?'.repeat(200), { tools, toolChoice: 'required', maxTokens: 60 });
    expect(['add', 'now']).toContain(wild.toolCalls![0].name);
  });

  it('lets the model think first', async () => {
    const script = '<think>Hm.</think><tool_call>\n{"name": "now", "arguments": {}}</tool_call>';
    expect(await generate(script, { tools, toolChoice: { name: 'now' } })).toMatchObject({
      reasoning: 'Hm.',
      text: '',
      toolCalls: [{ name: 'now' }],
    });
  });

  it('that cannot be is refused', async () => {
    const refused = { code: 'INVALID_OPTION' };
    await expect(generate('', { toolChoice: 'required' })).rejects.toMatchObject(refused);
    await expect(generate('', { tools, toolChoice: { name: 'nothing' } })).rejects.toThrow(/add, now/);
    const { chat } = parseGenerateOptions({ tools }, {}, 300);
    expect(() => checkChatPrompt('text', chat)).toThrow(/need a conversation/);
    for (const wrong of [
      { tools: [{}] },
      { tools: [{ name: 'a b' }] },
      { tools: [{ name: 'a' }, { name: 'a' }] },
      { tools: [{ type: 'retrieval', name: 'a' }] },
      { tools: [{ name: 'a', parameters: [] }] },
      { toolChoice: 'some' },
      { toolFormat: 'xml' },
      { reasoning: { budget: -1 } },
      { reasoning: { effort: 1 } },
    ]) {
      expect(() => parseGenerateOptions(wrong, {}, 300)).toThrow(expect.objectContaining(refused));
    }
  });
});

describe('thoughts', () => {
  it('are told apart', async () => {
    const run = generate('<think>\nOne.\n</think>\n\nTwo.');
    const chunks = await chunksOf(run);
    expect(await run).toMatchObject({ text: 'Two.', reasoning: 'One.', finishReason: 'stop' });
    const said = (type: string): string =>
      chunks
        .filter((chunk) => chunk.type === type)
        .map(({ text }) => text)
        .join('');
    expect([said('reasoning'), said('text')]).toEqual(['One.', 'Two.']);
  });

  it('stay in the text where that is asked, without their tokens as ever', async () => {
    const result = await generate('<think>One.</think>Two.', { reasoning: false });
    expect(result).toMatchObject({ text: 'One.Two.' });
    expect(result.reasoning).toBeUndefined();
  });

  it('end at their budget', async () => {
    const result = await generate('<think>abcdefghij</think>done', { reasoning: { budget: 4 } });
    // Forced: a line end, the token, two line ends; the model goes on with what it wants there.
    expect(result.reasoning).toBe('abcd');
    expect(result.text).toBe('ijdone');
  });

  it('that the prompt opens begin at once', async () => {
    await engine.dispose();
    await begin(chatTemplate.replace('<turn>assistant:', '<turn>assistant:<think>\n'));
    expect(await generate('One.</think>Two.')).toMatchObject({ text: 'Two.', reasoning: 'One.' });
    expect(await generate('abc', { reasoning: { budget: 0 } })).toMatchObject({ reasoning: '', text: '' });
  });
});

describe('a template without tools', () => {
  const plain = '{% for m in messages %}<turn>{{ m.role }}:{{ m.content }}<end>{% endfor %}<turn>assistant:';

  it('gets them in the system message, or refuses', async () => {
    await engine.dispose();
    await begin(plain);
    await expect(generate('', { tools, toolFormat: 'template' })).rejects.toThrow(/no format for tools/);
    native.reset();
    const result = await generate(call, { tools });
    expect(result.toolCalls).toMatchObject([{ name: 'add', arguments: { a: 1, b: 2 } }]);
    const settings = parseGenerateOptions({ tools }, {}, 300).chat;
    const history = [
      ...messages,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'x', type: 'function', function: { name: 'now', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'x', content: '12:00' },
    ];
    const { ids } = await prepareChat(open.tokenizer, { messages: history, settings });
    const text = open.tokenizer.decode(ids, { skipSpecialTokens: false });
    expect(text).toMatch(
      /^<turn>system:# Tools\n[\s\S]*\{"name":"add",[\s\S]*<turn>user:Hi<end><turn>assistant:<tool_call>\n/,
    );
    expect(text).toContain(
      '<turn>assistant:<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><end>',
    );
    expect(text).toContain('<turn>user:<tool_response>\n12:00\n</tool_response><end><turn>assistant:');
  });
});
