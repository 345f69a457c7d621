/** `kvasir/langchain` with the real package over a real engine and tokenizer, and a model that writes what it is told. */
import type { AIMessageChunk } from '@langchain/core/messages';
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { tool } from '@langchain/core/tools';
import { concat } from '@langchain/core/utils/stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type ChatKvasirFields, SourceChatModel } from '../../lib/langchain/chat-model.js';
import type { GenerateOptions } from '../../lib/options.js';
import { chatTemplate } from './chat-tokenizer.js';
import { type ScriptedModel, scriptedModel } from './scripted-model.js';

let scripted: ScriptedModel;
let asked: { options: GenerateOptions; variables: Record<string, unknown> };
beforeAll(async () => {
  scripted = await scriptedModel(chatTemplate);
});
afterAll(() => scripted.close());
afterEach(() => {
  scripted.native.reset();
  scripted.prompts.length = 0;
});

function chatModel(fields: Omit<ChatKvasirFields, 'model'> = {}): SourceChatModel {
  const source = {
    name: 'scripted',
    chatTemplate,
    contextLength: 4000,
    count: async (text: string) => text.length,
    generate: (
      messages: Parameters<ScriptedModel['generate']>[0],
      options: GenerateOptions,
      variables: Record<string, unknown>,
    ) => {
      asked = { options, variables };
      return scripted.generate(messages, options);
    },
  };
  return new SourceChatModel(source, fields);
}

const call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>';
const add = tool(async ({ a, b }) => String(a + b), {
  name: 'add',
  description: 'Adds.',
  schema: z.object({ a: z.number(), b: z.number() }),
});

async function gathered(
  stream: AsyncIterable<AIMessageChunk>,
): Promise<{ whole: AIMessageChunk; count: number }> {
  let whole: AIMessageChunk | undefined;
  let count = 0;
  for await (const chunk of stream) {
    whole = whole === undefined ? chunk : concat(whole, chunk);
    count++;
  }
  return { whole: whole!, count };
}

describe('an answer', () => {
  it('comes whole, with figures', async () => {
    scripted.next('Hello you');
    const answer = await chatModel().invoke([new SystemMessage('Be kind.'), new HumanMessage('Hi')]);
    expect(answer.content).toBe('Hello you');
    expect(answer.usage_metadata).toMatchObject({
      output_tokens: 9,
      input_tokens: scripted.idsOf(scripted.prompts[0]!).length,
    });
    expect(answer.response_metadata).toMatchObject({ finish_reason: 'stop', model_name: 'scripted' });
    expect(scripted.prompts).toEqual(['<turn>system:Be kind.<end><turn>user:Hi<end><turn>assistant:']);
  });

  it('has thoughts as blocks of their own, whole and streamed alike', async () => {
    scripted.next('<think>Hm. So.</think>Hello you', '<think>Hm. So.</think>Hello you');
    const answer = await chatModel().invoke('Hi');
    const blocks = [
      { type: 'reasoning', reasoning: 'Hm. So.' },
      { type: 'text', text: 'Hello you' },
    ];
    expect(answer.contentBlocks).toMatchObject(blocks);
    expect(answer.text).toBe('Hello you');
    const { whole, count } = await gathered(await chatModel().stream('Hi'));
    expect(whole.contentBlocks).toMatchObject(blocks);
    expect(whole.text).toBe('Hello you');
    expect(count).toBeGreaterThan(4);
    expect(whole.usage_metadata).toMatchObject({ output_tokens: answer.usage_metadata!.output_tokens });
    expect(whole.response_metadata.finish_reason).toBe('stop');
  });

  it('goes through prompts, parsers, batches and events', async () => {
    scripted.next('abc', 'def', 'ghi', 'jkl');
    const chain = ChatPromptTemplate.fromMessages([['human', 'Say {what}']])
      .pipe(chatModel())
      .pipe(new StringOutputParser());
    expect(await chain.invoke({ what: 'abc' })).toBe('abc');
    let streamed = '';
    for await (const piece of await chain.stream({ what: 'def' })) streamed += piece;
    expect(streamed).toBe('def');
    const [one] = await chatModel().batch(['Hi']);
    expect(one!.text).toBe('ghi');
    const told: string[] = [];
    for await (const { event } of chatModel().streamEvents('Hi', { version: 'v2' })) told.push(event);
    expect(told[0]).toBe('on_chat_model_start');
    expect(told.filter((event) => event === 'on_chat_model_stream').length).toBeGreaterThan(2);
    expect(told.at(-1)).toBe('on_chat_model_end');
  });

  it('is cut by stop, and by options of the model and of the call, of which those of the call count', async () => {
    scripted.next('abcdef', 'abcdef', 'abcdef');
    expect((await chatModel().invoke('Hi', { stop: ['de'] })).text).toBe('abc');
    scripted.native.reset();
    scripted.next('abcdef');
    const cut = await chatModel({ maxTokens: 2, topK: 3 }).invoke('Hi', { maxTokens: 4 });
    expect([cut.text, cut.response_metadata.finish_reason]).toEqual(['abcd', 'length']);
    expect(asked.options).toMatchObject({ topK: 3, maxTokens: 4 });
    expect(() => chatModel({ nonsense: 1 } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
    await expect(chatModel().invoke('Hi', { temperature: -1 })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });

  it('ends with the signal, and its run too', async () => {
    for (const start of ['invoke', 'stream'] as const) {
      scripted.native.reset();
      scripted.next('x'.repeat(1500));
      const controller = new AbortController();
      const run = async () => {
        const given = await chatModel()[start]('Hi', { signal: controller.signal });
        if (start === 'stream') for await (const _ of given as AsyncIterable<unknown>) controller.abort();
      };
      const ended = run().then(
        () => 'ended',
        (error: Error) => error.name,
      );
      setTimeout(() => controller.abort(), 10);
      expect(await ended).toBe('AbortError');
      await new Promise((resolve) => setTimeout(resolve, 20));
      const steps = scripted.native.steps.length;
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(scripted.native.steps.length).toBe(steps);
    }
  });
});

describe('tools', () => {
  it('are bound, called, run, and their results told', async () => {
    scripted.next(`I add.${call}`, 'It is 3.');
    const bound = chatModel().bindTools([add]);
    const question = new HumanMessage('One and two?');
    const answer = await bound.invoke([question]);
    expect(answer.tool_calls).toMatchObject([{ name: 'add', args: { a: 1, b: 2 }, type: 'tool_call' }]);
    expect(answer.response_metadata.finish_reason).toBe('tool_calls');
    const result = (await add.invoke(answer.tool_calls![0]! as never)) as ToolMessage;
    const last = await bound.invoke([question, answer, result]);
    expect(last.text).toBe('It is 3.');
    expect(scripted.prompts[0]).toContain('"description": "Adds."');
    expect(scripted.prompts[1]).toContain('I add.<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}');
    expect(scripted.prompts[1]).toContain('<turn>tool:3<end>');
  });

  it('stream in chunks that make the same calls', async () => {
    scripted.next(`${call}${call}`);
    const { whole } = await gathered(await chatModel().bindTools([add]).stream('Hi'));
    expect(whole.tool_calls).toMatchObject([
      { name: 'add', args: { a: 1, b: 2 } },
      { name: 'add', args: { a: 1, b: 2 } },
    ]);
    expect(whole.tool_calls![0]!.id).not.toBe(whole.tool_calls![1]!.id);
  });

  it('damaged calls are invalid ones', async () => {
    scripted.next('<tool_call>{"name": "add", "arguments": {"a": }}</tool_call>');
    // The model writes what it likes.
    const free = { type: 'function', function: { name: 'add', parameters: {}, strict: false } };
    const answer = await chatModel().bindTools([free]).invoke('Hi');
    expect(answer.tool_calls).toEqual([]);
    expect(answer.invalid_tool_calls).toMatchObject([
      { name: 'add', args: '{"a": }}', error: 'The arguments are no JSON.' },
    ]);
  });

  it.each([
    ['auto', 'auto'],
    ['any', 'required'],
    ['required', 'required'],
    ['none', 'none'],
    ['add', { name: 'add' }],
    [{ type: 'function', function: { name: 'add' } }, { name: 'add' }],
  ])('tool_choice %j is %j', async (tool_choice, expected) => {
    scripted.next(call);
    await chatModel().bindTools([add], { tool_choice }).invoke('Hi');
    expect(asked.options.toolChoice).toEqual(expected);
  });

  it('what is no tool is refused when it is bound', () => {
    for (const wrong of [{ nonsense: 1 }, { type: 'function' }]) {
      expect(() => chatModel().bindTools([wrong])).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
  });
});

describe('messages', () => {
  it('of every kind are told', async () => {
    scripted.next('ok');
    await chatModel().invoke([
      new SystemMessage([
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ] as never),
      new HumanMessage('q'),
      new AIMessage({
        content: [
          { type: 'reasoning', reasoning: 'Hm.' },
          { type: 'text', text: 'I add.' },
        ] as never,
        tool_calls: [{ id: 'x', name: 'add', args: { a: 1 } }],
      }),
      new ToolMessage({ tool_call_id: 'x', content: '1' }),
    ]);
    expect(scripted.prompts[0]).toBe(
      '<turn>system:a\nb<end><turn>user:q<end>' +
        '<turn>assistant:<think>Hm.</think>I add.<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call><end>' +
        '<turn>tool:1<end><turn>assistant:',
    );
  });

  it('that hold no text are refused with their place', async () => {
    const image = new HumanMessage({
      content: [{ type: 'image_url', image_url: { url: 'https://example.org/a.png' } }],
    });
    await expect(chatModel().invoke([new HumanMessage('a'), image])).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('messages[1].content[0]'),
    });
  });
});

describe('structured output', () => {
  const schema = z.object({ a: z.number(), b: z.number() });

  it('by a tool that must be called', async () => {
    scripted.next(call);
    const model = chatModel().withStructuredOutput(schema, { name: 'add', method: 'functionCalling' });
    expect(await model.invoke('Hi')).toEqual({ a: 1, b: 2 });
    expect(asked.options.toolChoice).toEqual({ name: 'add' });
  });

  it('asks for the schema itself, or for some JSON object', async () => {
    const ask = async (method: 'jsonSchema' | 'jsonMode') => {
      scripted.native.reset();
      scripted.next('{"a":1,"b":2}');
      const model = chatModel().withStructuredOutput(schema, { method, includeRaw: true });
      const { raw, parsed } = await model.invoke('Hi');
      expect(parsed).toEqual({ a: 1, b: 2 });
      expect(raw.text).toBe('{"a":1,"b":2}');
      return asked.options.responseFormat;
    };
    expect(await ask('jsonSchema')).toMatchObject({
      type: 'json',
      schema: { type: 'object', required: ['a', 'b'] },
    });
    expect(await ask('jsonMode')).toEqual({ type: 'json', schema: { type: 'object' } });
    const refused = () => chatModel().withStructuredOutput(schema, { method: 'nonsense' });
    expect(refused).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});
