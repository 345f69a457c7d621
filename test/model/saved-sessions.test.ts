/**
 * Sessions in files: what a fresh model restores goes on as the session that was never away, with what the cache held, and
 * what was cut, changed or is another model's is refused. Restored by another instance: its cache holds nothing else.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { type ChatSession, type LoadOptions, Model, type SessionOptions } from '../../lib/index.js';
import { fixtures } from './golden.js';
import { longFolder } from './windowed-folder.js';

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-sessions-'));
const removed: (() => void)[] = [() => rmSync(scratch, { recursive: true })];
afterAll(() => {
  for (const remove of removed) remove();
});

let files = 0;
const newFile = () => join(scratch, `${files++}.session`);
const llama = `${fixtures}tiny-llama`;
const question = 'a b c d e f g h '.repeat(8);
const greedy = { maxTokens: 8, temperature: 0, ignoreEos: true, logprobs: 3 };

/** A family's checkpoint, made for long texts, with the chat template of the tiny Llama. */
function chatFolder(family: string, values: object): string {
  const { path, remove } = longFolder(family, values);
  removed.push(remove);
  const read = (folder: string) => JSON.parse(readFileSync(join(folder, 'tokenizer_config.json'), 'utf8'));
  const { chat_template } = read(llama);
  writeFileSync(join(path, 'tokenizer_config.json'), JSON.stringify({ ...read(path), chat_template }));
  return path;
}

/** Two instances of a model: one that saves, and one that restores. */
async function withModels(
  path: string,
  options: LoadOptions,
  use: (saving: Model, restoring: Model) => Promise<void>,
): Promise<void> {
  const models = await Promise.all([Model.load(path, options), Model.load(path, options)]);
  try {
    await use(...models);
  } finally {
    await Promise.all(models.map((model) => model.dispose()));
  }
}

async function turn(session: ChatSession, text: string, maxTokens: number) {
  const { tokens, text: answer, logprobs, usage } = await session.send(text, { ...greedy, maxTokens });
  return { tokens, answer, logprobs, usage };
}

const long = { max_position_embeddings: 8192 };
const subjects: [string, string, LoadOptions, number][] = [
  ['llama, fp32', llama, { dtype: 'fp32', kvDtype: 'fp32' }, 8],
  ['llama, int8', llama, { dtype: 'int8', kvDtype: 'int8' }, 8],
  ['llama, cache of fp16', llama, { dtype: 'int8', kvDtype: 'fp16' }, 8],
  [
    'gemma3, windows',
    chatFolder('gemma3_text', { ...long, sliding_window: 512 }),
    { contextLength: 8192 },
    8,
  ],
  // A state is that of a sequence's end: the next prompt has to begin with all of it.
  ['lfm2, states', chatFolder('lfm2', long), { contextLength: 2048, dtype: 'fp32' }, 1],
  ['qwen3_next, states', chatFolder('qwen3_next', long), { contextLength: 2048, dtype: 'int8' }, 1],
];

describe.each(subjects)('%s', (name, path, options, maxTokens) => {
  it('goes on with the same tokens, log-probabilities and cached tokens', async () => {
    await withModels(path, { ...options, threads: 2 }, async (saving, restoring) => {
      const session = saving.createSession();
      // Beyond the window, where there is one.
      const first = await turn(session, name.includes('windows') ? question.repeat(8) : question, maxTokens);
      const file = newFile();
      await session.save(file);
      const restored = await restoring.restoreSession(file);
      expect(restored.history).toEqual(session.history);
      const next = await turn(session, 'i j k', 8);
      expect(await turn(restored, 'i j k', 8)).toEqual(next);
      if (name.includes('windows')) expect(first.usage.promptTokens).toBeGreaterThan(576);
      expect(next.usage.cachedTokens).toBeGreaterThanOrEqual(first.usage.promptTokens);
      expect(await turn(restored, 'l', 8)).toEqual(await turn(session, 'l', 8));
    });
  });
});

describe('what a file holds', () => {
  it('the options and the history', async () => {
    await withModels(llama, {}, async (saving, restoring) => {
      const tools = [{ name: 'clock', description: 'The time.', parameters: { type: 'object' } }];
      const options: SessionOptions = {
        system: 'x',
        tools,
        messages: [{ role: 'user', content: 'y\u00e9' }],
      };
      const session = saving.createSession(options);
      const file = newFile();
      // Before any turn: no cache.
      await session.save(file);
      const restored = await restoring.restoreSession(file);
      expect(restored.history).toEqual(session.history);
      expect(restored.history).toHaveLength(2);
      const next = await turn(session, 'a', 8);
      expect(await turn(restored, 'a', 8)).toEqual(next);
      const toolless = saving.createSession({ ...options, tools: undefined });
      expect(next.usage.promptTokens).toBeGreaterThan((await turn(toolless, 'a', 8)).usage.promptTokens);
      const named = saving.createSession({ template: 'other' });
      await named.save(file);
      await expect((await restoring.restoreSession(file)).send('a')).rejects.toThrow(/'other'/);
    });
  });

  it('which turns were left out', async () => {
    await withModels(llama, { contextLength: 128, dtype: 'fp32' }, async (saving, restoring) => {
      const session = saving.createSession({ overflow: 'drop-turns' });
      for (let i = 0; i < 5; ++i) await turn(session, 'a b c d e f g h i j', 8);
      const file = newFile();
      await session.save(file);
      const restored = await restoring.restoreSession(file);
      const next = await turn(session, 'k', 8);
      expect(next.usage.promptTokens).toBeLessThan(120);
      expect(await turn(restored, 'k', 8)).toEqual(next);
    });
  });

  it('a function has to be given again, another way may be', async () => {
    await withModels(llama, { contextLength: 128 }, async (saving, restoring) => {
      const lastOnly: SessionOptions['overflow'] = (messages) => messages.slice(-1);
      const session = saving.createSession({ overflow: lastOnly });
      await turn(session, question.slice(0, 60), 8);
      const file = newFile();
      await session.save(file);
      const missing = { code: 'INVALID_OPTION', message: expect.stringContaining('overflow') };
      await expect(restoring.restoreSession(file)).rejects.toMatchObject(missing);
      const again = await restoring.restoreSession(file, { overflow: lastOnly });
      const refusing = await restoring.restoreSession(file, { overflow: 'error' });
      const tooLong = question.slice(0, 110);
      expect((await turn(again, tooLong, 4)).usage.droppedTokens).toBeGreaterThan(0);
      await expect(turn(refusing, tooLong, 4)).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    });
  });
});

it('the file is there whole, or as it was', async () => {
  const model = await Model.load(llama);
  const session = model.createSession();
  await turn(session, question, 8);
  const folder = mkdtempSync(join(scratch, 'whole-'));
  const file = join(folder, 'a.session');
  writeFileSync(file, 'old');
  let isSaved = false;
  const saving = session.save(file).finally(() => {
    isSaved = true;
  });
  const seen = new Set<string>();
  while (!isSaved) {
    seen.add(readFileSync(file, 'latin1'));
    await nextTurn();
  }
  await saving;
  const whole = readFileSync(file, 'latin1');
  expect(whole.length).toBeGreaterThan(1000);
  expect(seen.size).toBeGreaterThan(0);
  for (const text of seen) expect(['old', whole]).toContain(text);
  expect(readdirSync(folder)).toEqual(['a.session']);
  for (const wrong of [folder, join(folder, 'none', 'a.session')])
    await expect(session.save(wrong)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(readdirSync(folder)).toEqual(['a.session']);
  expect(readdirSync(scratch).filter((name) => name.endsWith('.partial'))).toEqual([]);
  await model.dispose();
});

it('files that were cut, changed or are none are refused, and the model goes on', async () => {
  const model = await Model.load(llama, { dtype: 'fp32' });
  const session = model.createSession();
  await turn(session, question, 8);
  const file = newFile();
  await session.save(file);
  const whole = readFileSync(file);
  const refused = async (bytes: Uint8Array | string, what: string) => {
    const path = newFile();
    writeFileSync(path, bytes);
    const error = await model.restoreSession(path).catch((thrown: unknown) => thrown);
    expect(error, what).toMatchObject({ code: 'MODEL_FORMAT' });
  };
  for (const size of [0, 7, 71, 72, 100, whole.length >> 1, whole.length - 1])
    await refused(whole.subarray(0, size), `the first ${size} bytes`);
  for (const at of [0, 8, 20, 40, 64, 80, 300, whole.length >> 1, whole.length - 1]) {
    const changed = Uint8Array.from(whole);
    changed[at]! ^= 4;
    await refused(changed, `byte ${at}`);
  }
  await refused(Buffer.concat([whole, Buffer.of(0)]), 'one byte more');
  await refused('{"messages":[]}'.repeat(20), 'JSON');
  const missing = { code: 'MODEL_NOT_FOUND' };
  await expect(model.restoreSession(join(scratch, 'none'))).rejects.toMatchObject(missing);
  await expect(model.restoreSession(scratch)).rejects.toMatchObject({ code: 'MODEL_FORMAT' });
  const restored = await model.restoreSession(file);
  const { tokens, logprobs } = await turn(session, 'i', 8);
  expect(await turn(restored, 'i', 8)).toMatchObject({ tokens, logprobs });
  await model.dispose();
});

it('the file of another model is refused, by what differs', async () => {
  const model = await Model.load(llama, { dtype: 'fp32' });
  const session = model.createSession();
  await turn(session, question, 8);
  const file = newFile();
  await session.save(file);
  await model.dispose();
  const changed = join(scratch, 'changed');
  cpSync(llama, changed, { recursive: true });
  const weights = readFileSync(join(changed, 'model.safetensors'));
  weights[weights.length - 3]! ^= 1;
  writeFileSync(join(changed, 'model.safetensors'), weights);
  const others: [string, LoadOptions, string, RegExp][] = [
    [`${fixtures}tiny-gpt2`, { dtype: 'fp32' }, 'INVALID_OPTION', /architecture/],
    [`${fixtures}families/mistral`, { dtype: 'fp32' }, 'INVALID_OPTION', /another|architecture/],
    [llama, { dtype: 'int8' }, 'INVALID_OPTION', /dtype/],
    [llama, { dtype: 'fp32', kvDtype: 'int8' }, 'INVALID_OPTION', /kvDtype/],
    [changed, { dtype: 'fp32' }, 'INVALID_OPTION', /weights/],
    [llama, { dtype: 'fp32', contextLength: 64, kvCapacity: 64 }, 'CONTEXT_OVERFLOW', /kvCapacity/],
  ];
  for (const [path, options, code, message] of others) {
    const other = await Model.load(path, options);
    const error = await other.restoreSession(file).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    await other.dispose();
  }
});

it('wrong arguments, a session that is answering, and what was disposed are refused', async () => {
  const model = await Model.load(llama);
  const session = model.createSession();
  const file = newFile();
  const refused = { code: 'INVALID_OPTION' };
  for (const wrong of ['', 'a\0b', '\ud800', 5, undefined, null, {}, Buffer.from('a')]) {
    await expect(session.save(wrong as string)).rejects.toMatchObject(refused);
    await expect(model.restoreSession(wrong as string)).rejects.toMatchObject(refused);
  }
  await session.save(file);
  for (const wrong of [5, { a: 1 }, { overflow: 'cut' }, { adapter: {} }])
    await expect(model.restoreSession(file, wrong as never)).rejects.toMatchObject(refused);
  const answering = session.send('a', greedy);
  await expect(session.save(file)).rejects.toMatchObject(refused);
  await answering;
  session.dispose();
  await expect(session.save(file)).rejects.toMatchObject({ code: 'DISPOSED' });
  const other = await model.restoreSession(file);
  await model.dispose();
  await expect(other.save(file)).rejects.toMatchObject({ code: 'DISPOSED' });
  await expect(model.restoreSession(file)).rejects.toMatchObject({ code: 'DISPOSED' });
});
