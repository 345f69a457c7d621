/** `kvasir/ai-sdk` with the real SDK over a real engine and tokenizer, and a model that writes what it is told. */
import { generateText, stepCountIs, streamText, type TextStreamPart, type ToolSet, tool } from 'ai';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { ModelSettings } from '../../lib/adapters/settings.js';
import type { ChatSource } from '../../lib/adapters/source.js';
import { KvasirLanguageModel } from '../../lib/ai-sdk/language-model.js';
import type { GenerateOptions } from '../../lib/options.js';
import { chatTemplate } from './chat-tokenizer.js';
import { type ScriptedModel, scriptedModel } from './scripted-model.js';

// The SDK would write warnings to stderr.
globalThis.AI_SDK_LOG_WARNINGS = false;

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

function source(template = chatTemplate): ChatSource {
  return {
    name: 'scripted',
    chatTemplate: template,
    contextLength: 4000,
    count: async (text) => text.length,
    generate: (messages, options, variables) => {
      asked = { options, variables };
      return scripted.generate(messages, options);
    },
  };
}

const model = (settings: ModelSettings = {}, template?: string) =>
  new KvasirLanguageModel(source(template), settings);
const call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>';
const add = tool({
  description: 'Adds.',
  inputSchema: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => ({ sum: a + b }),
});
const quiet = { maxRetries: 0 };

async function partsOf(stream: AsyncIterable<TextStreamPart<ToolSet>>): Promise<TextStreamPart<ToolSet>[]> {
  const parts: TextStreamPart<ToolSet>[] = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

describe('an answer', () => {
  it('comes whole, with thoughts, figures and why it ended', async () => {
    scripted.next('<think>Hm.</think>Hello you');
    const result = await generateText({ model: model(), prompt: 'Hi', instructions: 'Be kind.', ...quiet });
    expect(result.text).toBe('Hello you');
    expect(result.reasoningText).toBe('Hm.');
    expect(result.finishReason).toBe('stop');
    expect(scripted.prompts).toEqual(['<turn>system:Be kind.<end><turn>user:Hi<end><turn>assistant:']);
    expect(result.usage.inputTokens).toBe(scripted.idsOf(scripted.prompts[0]!).length);
    expect(result.usage.outputTokens).toBe(
      '<think>Hm.</think>Hello you'.length - '<think></think>'.length + 2,
    );
    expect(result.response.modelId).toBe('scripted');
    expect(result.providerMetadata!.kvasir).toHaveProperty('timings.ttftMs');
    expect(asked.options.maxTokens).toBe(2048);
  });

  it('streams the same, block by block', async () => {
    scripted.next('<think>Hm.</think>Hello you');
    const stream = streamText({ model: model(), prompt: 'Hi', ...quiet });
    const parts = await partsOf(stream.fullStream);
    const text = parts.flatMap((part) => (part.type === 'text-delta' ? [part.text] : []));
    const thoughts = parts.flatMap((part) => (part.type === 'reasoning-delta' ? [part.text] : []));
    expect([text.join(''), thoughts.join('')]).toEqual(['Hello you', 'Hm.']);
    expect(text.length).toBeGreaterThan(1);
    const kinds = parts.map(({ type }) => type).filter((type) => !type.endsWith('delta'));
    expect(kinds).toEqual([
      ...['start', 'start-step', 'reasoning-start', 'reasoning-end', 'text-start', 'text-end'],
      ...['finish-step', 'finish'],
    ]);
    expect(await stream.finishReason).toBe('stop');
    expect((await stream.usage).outputTokens).toBe(14);
  });

  it('is cut at maxOutputTokens and at stop sequences', async () => {
    scripted.next('abcdef');
    const cut = await generateText({ model: model(), prompt: 'Hi', maxOutputTokens: 3, ...quiet });
    expect([cut.text, cut.finishReason]).toEqual(['abc', 'length']);
    scripted.native.reset();
    scripted.next('abcdef');
    const stopped = await generateText({ model: model(), prompt: 'Hi', stopSequences: ['de'], ...quiet });
    expect([stopped.text, stopped.finishReason]).toEqual(['abc', 'stop']);
  });
});

describe('tools', () => {
  it('run in the loop of the SDK, whose results the next prompt has', async () => {
    scripted.next(`I add.${call}`, 'It is 3.');
    const tools = { add };
    const result = await generateText({
      model: model(),
      tools,
      prompt: 'One and two?',
      stopWhen: stepCountIs(4),
      ...quiet,
    });
    expect(result.text).toBe('It is 3.');
    expect(result.steps).toHaveLength(2);
    const [first] = result.steps;
    expect(first!.finishReason).toBe('tool-calls');
    expect(first!.toolCalls).toMatchObject([{ toolName: 'add', input: { a: 1, b: 2 } }]);
    expect(first!.toolResults).toMatchObject([{ output: { sum: 3 } }]);
    expect(scripted.prompts[0]).toContain('"description": "Adds."');
    expect(scripted.prompts[1]).toContain(
      '<turn>assistant:I add.<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}',
    );
    expect(scripted.prompts[1]).toContain('<turn>tool:{"sum":3}<end>');
  });

  it('stream: a name first, then arguments, then the whole call', async () => {
    scripted.next(`${call}${call}`);
    const stream = streamText({ model: model(), tools: { add }, prompt: 'Hi', ...quiet });
    const parts = await partsOf(stream.fullStream);
    const starts = parts.filter((part) => part.type === 'tool-input-start');
    expect(starts.map(({ toolName }) => toolName)).toEqual(['add', 'add']);
    expect(starts[0]!.id).not.toBe(starts[1]!.id);
    for (const { id } of starts) {
      const deltas = parts.flatMap((part) =>
        part.type === 'tool-input-delta' && part.id === id ? [part.delta] : [],
      );
      expect(deltas.join('')).toBe('{"a": 1, "b": 2}');
      expect(deltas.length).toBeGreaterThan(1);
      const calls = parts.filter((part) => part.type === 'tool-call' && part.toolCallId === id);
      expect(calls).toMatchObject([{ toolName: 'add', input: { a: 1, b: 2 } }]);
    }
    expect(await stream.finishReason).toBe('tool-calls');
  });

  it('damaged arguments and unknown tools are told to the model, not thrown', async () => {
    scripted.next(
      '<tool_call>{"name": "add", "arguments": {"a": "x"}}</tool_call><tool_call>{"name": "sub", "arguments": {}}</tool_call>',
      'Sorry.',
    );
    const result = await generateText({
      model: model(),
      // The model writes what it likes.
      tools: { add: { ...add, strict: false } as unknown as typeof add },
      prompt: 'Hi',
      stopWhen: stepCountIs(2),
      ...quiet,
    });
    expect(result.steps[0]!.toolCalls).toMatchObject([{ invalid: true }, { invalid: true }]);
    expect(result.text).toBe('Sorry.');
    expect(scripted.prompts[1]).toContain('<turn>tool:Error: ');
  });

  it('are chosen as the call says', async () => {
    const choose = async (toolChoice: 'auto' | 'none' | 'required' | { type: 'tool'; toolName: 'add' }) => {
      scripted.native.reset();
      scripted.next(call);
      await generateText({ model: model(), tools: { add }, prompt: 'Hi', toolChoice, ...quiet });
      return asked.options.toolChoice;
    };
    expect(await choose('auto')).toBe('auto');
    expect(await choose('none')).toBe('none');
    expect(await choose('required')).toBe('required');
    expect(await choose({ type: 'tool', toolName: 'add' })).toEqual({ name: 'add' });
  });
});

describe('an abort', () => {
  it('ends the stream with an abort, and the run', async () => {
    scripted.next('x'.repeat(1500));
    const controller = new AbortController();
    const stream = streamText({ model: model(), prompt: 'Hi', abortSignal: controller.signal, ...quiet });
    const types: string[] = [];
    for await (const part of stream.fullStream) {
      types.push(part.type);
      if (types.length === 10) controller.abort('enough');
    }
    expect(types.at(-1)).toBe('abort');
    expect(types.length).toBeLessThan(100);
    const steps = scripted.native.steps.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(scripted.native.steps.length).toBe(steps);
  });

  it('rejects with an AbortError, whatever the reason is', async () => {
    for (const reason of [undefined, 'enough', new DOMException('late', 'TimeoutError')]) {
      scripted.native.reset();
      scripted.next('x'.repeat(1500));
      const controller = new AbortController();
      const result = model().doGenerate({
        prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
        abortSignal: controller.signal,
      });
      setTimeout(() => controller.abort(reason), 5);
      const error = await Promise.resolve(result).catch((thrown: unknown) => thrown);
      expect((error as Error).name).toBe(reason instanceof DOMException ? 'TimeoutError' : 'AbortError');
    }
  });

  it('breaks our own stream with an AbortError, before it begins and in its middle', async () => {
    scripted.next('x'.repeat(1500));
    const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hi' }] }];
    const early = model().doStream({ prompt, abortSignal: AbortSignal.abort('enough') });
    await expect(early).rejects.toMatchObject({ name: 'AbortError' });
    const controller = new AbortController();
    const { stream } = await model().doStream({ prompt, abortSignal: controller.signal });
    const read = async () => {
      const types: string[] = [];
      for await (const { type } of stream) if (types.push(type) === 5) controller.abort('enough');
      return types.at(-1);
    };
    await expect(read()).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('who leaves the stream ends the run', async () => {
    scripted.next('x'.repeat(1500));
    const { stream } = await model().doStream({
      prompt: [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }],
    });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const steps = scripted.native.steps.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(scripted.native.steps.length).toBe(steps);
  });
});

describe('what is asked for', () => {
  it('of one option that of providerOptions counts, then the call, then the model', async () => {
    const ask = async (settings: ModelSettings, change: object) => {
      scripted.native.reset();
      scripted.next('a');
      await generateText({ model: model(settings), prompt: 'Hi', ...quiet, ...change });
      return asked.options;
    };
    const settings = { minP: 0.1, maxTokens: 7, topK: 3 };
    expect(await ask(settings, {})).toMatchObject(settings);
    expect(await ask(settings, { topK: 5, maxOutputTokens: 9 })).toMatchObject({
      minP: 0.1,
      maxTokens: 9,
      topK: 5,
    });
    const own = { kvasir: { topK: 6, repetitionPenalty: 1.1, templateVariables: { x: 1 } } };
    expect(await ask(settings, { topK: 5, providerOptions: own })).toMatchObject({
      topK: 6,
      repetitionPenalty: 1.1,
    });
    expect(asked.variables).toEqual({ x: 1 });
    expect(asked.options).not.toHaveProperty('templateVariables');
  });

  it('what is unknown is refused', async () => {
    const ask = (change: object) =>
      generateText({ model: model(), prompt: 'Hi', ...quiet, ...change }).then(
        () => 'took it',
        (e) => e,
      );
    expect(await ask({ providerOptions: { kvasir: { nonsense: 1 } } })).toMatchObject({
      code: 'INVALID_OPTION',
    });
    expect(await ask({ providerOptions: { kvasir: { n: 2 } } })).toMatchObject({ code: 'INVALID_OPTION' });
    expect(await ask({ temperature: -1 })).toMatchObject({ code: 'INVALID_OPTION' });
    const image = { type: 'file', mediaType: 'image/png', data: new Uint8Array([1, 2, 3]) };
    const refused = await ask({ prompt: undefined, messages: [{ role: 'user', content: [image] }] });
    expect(refused).toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('prompt[0].content[0]'),
    });
  });

  it('a file that is text is its text', async () => {
    scripted.next('a');
    const text = {
      type: 'file',
      mediaType: 'text/plain',
      data: new TextEncoder().encode('from a file'),
    } as const;
    await generateText({
      model: model(),
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Read:' }, text] }],
      ...quiet,
    });
    expect(scripted.prompts[0]).toContain('<turn>user:Read:\nfrom a file<end>');
  });

  it('effort of reasoning goes to the template that knows it, else it is a warning', async () => {
    const ask = async (reasoning: 'none' | 'high', template: string) => {
      scripted.native.reset();
      scripted.next('a');
      const { warnings } = await generateText({
        model: model({}, template),
        prompt: 'Hi',
        reasoning,
        ...quiet,
      });
      return { variables: asked.variables, warnings: warnings!.length };
    };
    expect(await ask('none', '{{ enable_thinking }}')).toEqual({
      variables: { enable_thinking: false },
      warnings: 0,
    });
    expect(await ask('high', '{{ reasoning_effort }}')).toEqual({
      variables: { reasoning_effort: 'high' },
      warnings: 0,
    });
    expect(await ask('high', 'plain')).toEqual({ variables: {}, warnings: 1 });
    expect(await ask('none', 'plain')).toEqual({ variables: {}, warnings: 0 });
    expect(await ask('none', chatTemplate)).toEqual({ variables: {}, warnings: 1 });
  });
});
