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

function idsOf(messages: readonly { role: string; content?: unknown }[]): Int32Array {
  const ids = messages.flatMap(({ role, content }) => [
    role.length,
    ...Array.from(content as string, (letter) => {
      const code = letter.charCodeAt(0);
      return code >= 200 ? code - 200 : code;
    }),
  ]);
  return Int32Array.from([...ids, 9]);
}

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
  const prompts: { messages: readonly { role: string; content?: unknown }[]; tools: unknown }[] = [];
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
          const encode = async (told: typeof messages) => ({ ids: idsOf(told), told });
          const fitted = await internals.fit!.fit(messages, 600, encode);
          prompts.push({ messages: fitted.told, tools: internals.tools });
          return fitted;
        },
      });
    },
    save: async () => {},
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

describe('turns', () => {
  const short = { maxTokens: 8 };
  const contents = (messages: readonly { content?: unknown }[]) => messages.map(({ content }) => content);

  it('retry answers the last turn once more, and keeps the old answer where it fails', async () => {
    const { session, prompts } = converse({ system: 'S' });
    await session.send('one', short);
    const { text } = await session.send('two', { ...short, temperature: 1, seed: 1 });
    const before = session.history;
    const again = await session.retry({ ...short, temperature: 1, seed: 2 });
    expect(again.text).not.toBe(text);
    expect(session.history).toEqual([...before.slice(0, -1), { role: 'assistant', content: again.text }]);
    expect(prompts.at(-1)!.messages).toEqual(before.slice(0, -1));
    expect(again.usage.cachedTokens).toBeGreaterThanOrEqual(again.usage.promptTokens - 1);
    await expect(session.retry({ topK: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const aborted = new AbortController();
    aborted.abort();
    await session.retry({ ...short, signal: aborted.signal });
    expect(session.history.at(-1)!.content).toBe(again.text);
    await expect(converse().session.retry()).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('edit puts a text in the place of a message, and what came after goes when the answer ends', async () => {
    const { session, prompts } = converse({ system: 'S' });
    for (const text of ['one', 'two', 'three']) await session.send(text, short);
    const before = session.history;
    const { text } = await session.edit(3, 'other', short);
    const expected = [...before.slice(0, 3), { role: 'user', content: 'other' }];
    expect(prompts.at(-1)!.messages).toEqual(expected);
    expect(session.history).toEqual([...expected, { role: 'assistant', content: text }]);
    for (const index of [0, 2, 5, -1, 1.5, '3'])
      await expect(session.edit(index as number, 'x')).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        details: { option: 'index' },
      });
    await expect(session.edit(1, 'half \ud83d')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(session.edit(1, 'x', { topK: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(session.history).toHaveLength(5);
  });

  it('a fork goes its own way from what the cache holds', async () => {
    const { session, fake } = converse({ system: 'S' });
    await session.send('one two three four five six seven', short);
    const running = session.send('left', short);
    const fork = session.fork();
    expect(fork.history).toHaveLength(3);
    await running;
    const { usage } = await fork.send('right', short);
    expect(usage.cachedTokens).toBeGreaterThan(30);
    expect(contents(fork.history).at(-2)).toBe('right');
    expect(contents(session.history).at(-2)).toBe('left');
    session.dispose();
    expect(() => session.fork()).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
    await fork.send('on', short);
    expect(fake.liveSequences).toBeGreaterThan(0);
  });

  it('overflow: as few of the oldest turns as possible are left out, and the result says how many tokens', async () => {
    const { session, prompts } = converse({ system: 'S', overflow: 'drop-turns' });
    const long = 'x'.repeat(120);
    let dropped = 0;
    for (let turn = 0; turn < 9; turn++) {
      const { usage } = await session.send(`${turn}${long}`, short);
      const told = prompts.at(-1)!.messages;
      expect(usage.promptTokens).toBe(idsOf(told).length);
      expect(usage.promptTokens).toBeLessThanOrEqual(600);
      expect(told[0]).toEqual({ role: 'system', content: 'S' });
      expect(told[1]!.role).toBe('user');
      const first = Number((told[1]!.content as string)[0]);
      expect(first).toBe(Math.max(0, turn - 3));
      // A turn is a question of 122 tokens and an answer of 9.
      expect(usage.droppedTokens ?? 0).toBe(131 * (first - dropped));
      dropped = first;
    }
    expect(session.history).toHaveLength(19);
    // A turn that fails leaves out nothing for those that come.
    await expect(session.send('z'.repeat(1000))).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    await session.retry(short);
    expect(prompts.at(-1)!.messages[1]).toEqual({ role: 'user', content: `5${long}` });
    await session.edit(1, 'new', short);
    expect(contents(prompts.at(-1)!.messages)).toEqual(['S', 'new']);
    const alone = await session.edit(1, 'y'.repeat(700), short);
    expect([alone.usage.promptTokens, alone.usage.droppedTokens]).toEqual([704, undefined]);
    await session.edit(1, 'back', short);
    await session.send('again', short);
    expect(contents(prompts.at(-1)!.messages).at(1)).toBe('back');
  });

  it('overflow: a function gives the messages, and one that gives none fails the turn', async () => {
    const seen: number[] = [];
    const { session, prompts } = converse({
      overflow: async (messages) => {
        seen.push(messages.length);
        return [{ role: 'system', content: 'short' }, messages.at(-1)!];
      },
    });
    await session.send('x'.repeat(400), short);
    const { usage } = await session.send('y'.repeat(300), short);
    expect(seen).toEqual([3]);
    expect(contents(prompts.at(-1)!.messages)).toEqual(['short', 'y'.repeat(300)]);
    expect(usage.droppedTokens).toBe(401 + 9 - 6);
    const wrong = converse({ overflow: () => [{ role: 5 }] as never }).session;
    await expect(wrong.send('x'.repeat(700))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const throwing = converse({
      overflow: () => {
        throw new Error('mine');
      },
    }).session;
    await expect(throwing.send('x'.repeat(700))).rejects.toThrow('mine');
    expect(throwing.history).toEqual([]);
    expect(() => converse({ overflow: 'drop' as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});
