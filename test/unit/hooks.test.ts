/** processLogits and guard: what the caller's functions may change, and that nothing goes past them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { shownTexts } from '../../lib/cli/stream.js';
import type { Guard } from '../../lib/generation/hooks.js';
import { parseGenerateOptions } from '../../lib/options.js';
import { chatTemplate } from './chat-tokenizer.js';
import { chunksOf, type ScriptedModel, scriptedModel } from './scripted-model.js';

const messages = [{ role: 'user', content: 'Hi' }];
const tools = [{ name: 'now' }];
let model: ScriptedModel;

beforeAll(async () => {
  model = await scriptedModel(chatTemplate);
});
afterAll(() => model.close());
beforeEach(() => {
  model.native.reset();
});

describe('processLogits', () => {
  it('sees all logits and what was generated, and decides', async () => {
    model.next('abcabc');
    const seen: number[] = [];
    const never = model.idsOf('b')[0];
    const result = await model.generate(messages, {
      temperature: 0,
      logprobs: 1,
      processLogits: (logits, { tokens }) => {
        expect(logits).toHaveLength(300);
        seen.push(tokens.length);
        logits[never] = Number.NEGATIVE_INFINITY;
        logits[model.idsOf('z')[0]] = 50;
      },
    });
    expect(result.text).toBe('azcazc');
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6]);
    // The model's own.
    expect(result.logprobs![1].top[0].id).toBe(never);
    expect(result.logprobs![1].logprob).toBeLessThan(result.logprobs![1].top[0].logprob);
  });

  it('samples from what is left', async () => {
    const [x, y] = model.idsOf('xy');
    const both = new Set<string>();
    for (let seed = 0; seed < 20; ++seed) {
      model.next('a');
      const { text } = await model.generate(messages, {
        temperature: 1,
        seed,
        maxTokens: 1,
        processLogits: (logits) => {
          logits.fill(Number.NEGATIVE_INFINITY);
          logits[x] = 0;
          logits[y] = 0;
        },
      });
      both.add(text);
    }
    expect(both).toEqual(new Set(['x', 'y']));
  });

  it.each([
    ['no token', (logits: Float32Array) => void logits.fill(Number.NEGATIVE_INFINITY), 'INVALID_OPTION'],
    ['no number', (logits: Float32Array) => void logits.fill(Number.NaN, 3, 4), 'INVALID_OPTION'],
    [
      'an infinite one',
      (logits: Float32Array) => void logits.fill(Number.POSITIVE_INFINITY, 3, 4),
      'INVALID_OPTION',
    ],
    ['a promise', (async () => {}) as never, 'INVALID_OPTION'],
  ])('that leaves %s fails its run, and no other', async (_what, processLogits, code) => {
    model.next('ab');
    await expect(model.generate(messages, { processLogits })).rejects.toMatchObject({ code });
    model.native.reset();
    model.next('x', 'ab');
    await chunksOf(model.generate(messages)).catch(() => {});
    expect((await model.generate(messages)).text).not.toBe('');
  });
});

it('several texts have no guard, and beams no processLogits', () => {
  const options = { guard: (text: string) => text, n: 2, temperature: 1 };
  expect(() => parseGenerateOptions(options, {}, 300)).toThrow(/guard .*several texts/);
  const beams = { processLogits: () => {}, beams: 2 };
  expect(() => parseGenerateOptions(beams, {}, 300)).toThrow(/processLogits .*beams/);
});

describe('guard', () => {
  /** Words are cut out; what may be the beginning of one waits. */
  const without =
    (word: string): Guard =>
    (text, { done }) => {
      const clean = text.replaceAll(word, '***');
      const at = done ? clean.length : Math.max(0, clean.length - word.length + 1);
      return { release: clean.slice(0, at), hold: clean.slice(at) };
    };

  it('replaces, with what it holds back', async () => {
    model.next('one secret two secretsecret three sec');
    const run = model.generate(messages, { guard: without('secret') });
    const chunks = await chunksOf(run);
    const result = await run;
    expect(result).toMatchObject({ text: 'one *** two ****** three sec', finishReason: 'stop' });
    expect(chunks.map(({ text }) => text).join('')).toBe(result.text);
    expect(chunks.flatMap(({ tokens }) => tokens)).toEqual(result.tokens);
    expect(chunks.some(({ text }) => /secret/.test(text))).toBe(false);
  });

  it('ends the text, and the work', async () => {
    model.next(`fine ${'x'.repeat(500)}`);
    const guard: Guard = async (text, { released }) => {
      await sleep(1);
      return released.length > 8 ? { release: '[cut]', end: true } : text;
    };
    const result = await model.generate(messages, { guard });
    expect(result).toMatchObject({ finishReason: 'content_filter' });
    expect(result.text).toMatch(/^fine x{4,}\[cut\]$/);
    expect(result.tokens.length).toBeLessThan(500);
  });

  it('sees thoughts by themselves, and lets calls through', async () => {
    model.next('<think>secret plan</think>my secret<tool_call>{"name": "now", "arguments": {}}</tool_call>');
    const types = new Set<string>();
    const guard: Guard = (text, context) => {
      types.add(context.type);
      return without('secret')(text, context);
    };
    const run = model.generate(messages, { guard, tools });
    const chunks = await chunksOf(run);
    expect(await run).toMatchObject({
      reasoning: '*** plan',
      text: 'my ***',
      toolCalls: [{ name: 'now', arguments: {} }],
      finishReason: 'tool_calls',
    });
    expect(types).toEqual(new Set(['text', 'reasoning']));
    expect(
      chunks
        .filter(({ type }) => type === 'reasoning')
        .map(({ text }) => text)
        .join(''),
    ).toBe('*** plan');
    const calls = chunks.filter((chunk) => chunk.type === 'tool-call');
    expect(calls[0].name).toBe('now');
    expect(calls.map((chunk) => chunk.arguments).join('')).toBe('{}');
  });

  it('may hold back all until it has seen it', async () => {
    const judge: Guard = (text, { done }) =>
      done ? { release: text.includes('bad') ? 'No.' : text } : { release: '', hold: text };
    model.next('all good', 'all bad');
    expect((await model.generate(messages, { guard: judge })).text).toBe('all good');
    expect((await model.generate(messages, { guard: judge })).text).toBe('No.');
  });

  it('fails the run with what it throws, and stops for an abort or a reader that leaves', async () => {
    model.next('abc');
    const guard: Guard = () => {
      throw new Error('broken');
    };
    await expect(model.generate(messages, { guard })).rejects.toThrow('broken');
    model.native.reset();
    model.next('abc');
    await expect(model.generate(messages, { guard: (() => 5) as never })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
    model.native.reset();
    model.next('x'.repeat(900));
    const run = model.generate(messages, { guard: (text) => text });
    for await (const _ of run) break;
    expect(await run).toMatchObject({ finishReason: 'abort' });
    const stop = new AbortController();
    stop.abort();
    expect(await model.generate(messages, { guard: (text) => text, signal: stop.signal })).toMatchObject({
      finishReason: 'abort',
      text: '',
    });
  });
});

it('the command line parts thoughts from the answer', async () => {
  model.native.reset();
  model.next('<think>Hm.</think>Yes.', 'No thought.');
  const shown = async (): Promise<string> => {
    let all = '';
    for await (const text of shownTexts(model.generate(messages))) all += text;
    return all;
  };
  expect(await shown()).toBe('Hm.\n\nYes.');
  expect(await shown()).toBe('No thought.');
});
