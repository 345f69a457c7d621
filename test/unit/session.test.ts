import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Engine } from '../../lib/engine/engine.js';
import { launch } from '../../lib/engine/launch.js';
import { GenerationRun } from '../../lib/engine/run.js';
import { SamplerBuffers } from '../../lib/generation/sampler.js';
import { type GenerateSettings, parseGenerateOptions } from '../../lib/options.js';
import { ChatSession, type SessionHost, type SessionOptions } from '../../lib/session.js';
import { FakeNative, type FakeOptions } from './engine-fake.js';
import { structures } from './structure-grammar.js';

const EOS = 299;

/**
 * A session over a real engine and a fake model. A message is encoded as a number for its role and one for each
 * letter, so the prompt of a turn begins with that of the turn before.
 */
function converse(options: SessionOptions = {}, native: FakeOptions = {}) {
  const fake = new FakeNative({ banned: EOS, ...native });
  const engine = new Engine(fake, 1000);
  const vocabulary = {
    size: 300,
    endTokens: new Set([EOS]),
    textOf: (id: number) => String.fromCharCode(200 + id),
    bytesOf: (id: number) => Buffer.from(String.fromCharCode(200 + id)),
    createDecoder: () => ({
      push: (id: number) => String.fromCharCode(200 + id),
      unseen: () => '',
      flush: () => '',
    }),
  };
  const generator = { engine, contextLength: 1000, vocabulary, buffers: new SamplerBuffers(300), structures };
  const prompts: { messages: readonly { role: string; content: unknown }[]; tools: unknown }[] = [];
  const host: SessionHost = {
    generate: (messages, generate, internals) => {
      let settings: GenerateSettings;
      try {
        settings = parseGenerateOptions(generate, {}, 300);
      } catch (error) {
        return GenerationRun.failed(error, internals.onSettled);
      }
      return launch(generator, {
        settings,
        cache: internals.cache ?? { reuse: true },
        onSettled: internals.onSettled,
        encode: async () => {
          prompts.push({ messages, tools: internals.tools });
          const ids = messages.flatMap(({ role, content }) => [
            role.length,
            ...Array.from(content as string, (letter) => {
              const code = letter.charCodeAt(0);
              return code >= 200 ? code - 200 : code;
            }),
          ]);
          return Int32Array.from([...ids, 9]);
        },
      });
    },
    disown: (owner) => engine.disown(owner),
  };
  return { session: new ChatSession(host, options), host, engine, fake, prompts };
}

describe('a session', () => {
  it('remembers system, questions and answers, and computes only what is new', async () => {
    const { session, prompts, fake } = converse({ system: 'Be brief.', tools: [{ name: 'clock' }] });
    const first = await session.send('Hello there', { maxTokens: 12 });
    expect(first.usage.cachedTokens).toBe(0);
    expect(session.history).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello there' },
      { role: 'assistant', content: first.text },
    ]);
    const second = await session.send('And now?', { maxTokens: 12 });
    // All of the first turn's prompt but its last token, which opened the answer.
    expect(second.usage.cachedTokens).toBeGreaterThanOrEqual(first.usage.promptTokens - 1);
    expect(second.usage.promptTokens).toBeGreaterThan(second.usage.cachedTokens);
    expect(prompts[1].messages).toHaveLength(4);
    expect(prompts[1].tools).toMatchObject([{ type: 'function', function: { name: 'clock' } }]);
    expect(session.history).toHaveLength(5);
    expect(fake.steps.length).toBeGreaterThan(20);
  });

  it('keeps its place in the cache while others come and go, until it is disposed', async () => {
    const { session, host, engine, fake } = converse({}, { kvCapacity: 8000 });
    const crowd = async () => {
      for (const letter of ['a', 'b', 'c', 'd']) {
        const other = new ChatSession(host, {});
        await other.send(letter.repeat(300), { maxTokens: 4 });
        other.dispose();
      }
    };
    await session.send('x'.repeat(300), { maxTokens: 4 });
    await crowd();
    expect((await session.send('y', { maxTokens: 4 })).usage.cachedTokens).toBeGreaterThan(300);
    session.dispose();
    session.dispose();
    await expect(session.send('y')).rejects.toMatchObject({ code: 'DISPOSED' });
    await crowd();
    const again = await new ChatSession(host, {}).send('x'.repeat(300), { maxTokens: 4 });
    expect(again.usage.cachedTokens).toBe(0);
    await engine.dispose();
    expect(fake.disposed).toBe(true);
  });

  it('refuses what is no object of options, no message and no part', () => {
    const { host } = converse();
    for (const wrong of [
      null,
      5,
      'x',
      { messages: [null] },
      { messages: [{ role: 'user', content: [null] }] },
    ]) {
      expect(() => new ChatSession(host, wrong as never), JSON.stringify(wrong)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
  });

  it('one answer at a time', async () => {
    const { session } = converse({}, { stepMs: 2 });
    const run = session.send('one', { maxTokens: 20 });
    await expect(session.send('two')).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('still answering'),
    });
    // The refusal of the second changes nothing for the first.
    await expect(session.send('two')).rejects.toThrow(/still answering/);
    await run;
    expect((await session.send('two', { maxTokens: 3 })).tokens).toHaveLength(3);
    expect(session.history.map(({ content }) => content)).toHaveLength(4);
  });

  it('an aborted answer stays as far as it got, and the session goes on', async () => {
    const { session } = converse({}, { stepMs: 1 });
    const run = session.send('one', { maxTokens: 500 });
    let text = '';
    for await (const chunk of run) {
      text += chunk.text;
      if (text.length > 5) break;
    }
    // At once, without awaiting anything in between.
    const next = session.send('two', { maxTokens: 3 });
    const aborted = await run;
    expect(aborted.finishReason).toBe('abort');
    await next;
    expect(session.history.map(({ content }) => content)).toEqual([
      'one',
      aborted.text,
      'two',
      (await next).text,
    ]);
  });

  it('a turn that never got an answer leaves no trace', async () => {
    const { session, fake } = converse({}, { stepMs: 20 });
    expect((await session.send('one', { signal: AbortSignal.abort() })).finishReason).toBe('abort');
    const controller = new AbortController();
    const early = session.send('two', { signal: controller.signal });
    controller.abort();
    expect((await early).tokens).toEqual([]);
    const broken = session.send('three') as GenerationRun;
    while (fake.steps.length === 0) await sleep(1);
    fake.failure = new Error('broke');
    await expect(broken).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(session.send('z'.repeat(1001))).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    await expect(session.send('four', { topP: 7 })).rejects.toThrow(/topP/);
    expect(session.history).toEqual([]);
    await session.send('five', { maxTokens: 1 });
    expect(session.history.map(({ role }) => role)).toEqual(['user', 'assistant']);
  });

  it('takes earlier messages, and gives only copies', async () => {
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ];
    const { session, prompts } = converse({ system: 's', messages });
    messages[0].content = 'changed';
    session.history[0].content = 'changed';
    await session.send('c', { maxTokens: 1 });
    expect(prompts[0].messages.map(({ content }) => content)).toEqual(['s', 'a', 'b', 'c']);
  });

  it('refuses options that are none', async () => {
    for (const options of [
      { sytem: 'x' },
      { tools: 'clock' },
      { messages: {} },
      { system: 5 },
      { system: '\ud800' },
    ]) {
      expect(() => converse(options as SessionOptions)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      );
    }
    await expect(converse().session.send(5 as unknown as string)).rejects.toThrow(/text/);
  });
});
