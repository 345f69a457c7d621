/**
 * What no text, template or definition can do: hold up its thread for longer than its length allows, take the process or the
 * other requests of its model with it, or be deaf to an abort.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import type { TokenizerSource } from '../../lib/tokenizer/source.js';
import { Tokenizer } from '../../lib/tokenizer/tokenizer.js';
import { isNightly } from '../nightly.js';

// Of texts that never end a quarter of the time that they may take shows as much; nightly all of it.
const allowed = vi.hoisted(() => ({ share: 1 }));
vi.mock('../../lib/tokenizer/work-time.js', async (load) => {
  const real = await load<typeof import('../../lib/tokenizer/work-time.js')>();
  return {
    ...real,
    allowedForText: (units: number) => allowed.share * real.allowedForText(units),
    allowedForTokenizer: (bytes: number) => allowed.share * real.allowedForTokenizer(bytes),
  };
});

let scratch = '';
let files = 0;
const open: Tokenizer[] = [];
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kvasir-bounds-'));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((tokenizer) => tokenizer.dispose()));
});
afterAll(() => rmSync(scratch, { recursive: true }));
// Seconds of processor time are many more on a busy machine.
vi.setConfig({ testTimeout: 240_000 });

const letters = Object.fromEntries(Array.from('abcdefghijklmnopqrstuvwxyzH ', (letter, i) => [letter, i]));
const bare = {
  added_tokens: [] as object[],
  normalizer: null as object | null,
  pre_tokenizer: null as object | null,
  post_processor: null as object | null,
  decoder: { type: 'Fuse' } as object | null,
  model: { type: 'BPE', vocab: letters as Record<string, number>, merges: [] as string[] } as object,
};
const hello = Array.from('Hello', (letter) => letters[letter]!);

function sourceOf(definition: Partial<typeof bare>, config: object = {}): TokenizerSource {
  const path = join(scratch, `${files++}.json`);
  writeFileSync(path, JSON.stringify({ ...bare, ...definition }));
  writeFileSync(`${path}.config`, JSON.stringify(config));
  return { kind: 'tokenizer-json', path, configPath: `${path}.config` };
}

async function load(definition: Partial<typeof bare>, config: object = {}): Promise<Tokenizer> {
  const tokenizer = await Tokenizer.load(sourceOf(definition, config));
  open.push(tokenizer);
  return tokenizer;
}

const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const replace = (part: string, content: string) => ({ type: 'Replace', pattern: { String: part }, content });
const sequence = (...normalizers: object[]) => ({ type: 'Sequence', normalizers });
const limit = { code: 'LIMIT_EXCEEDED' };

/** Works as if nothing had been. */
async function expectHello(tokenizer: Tokenizer): Promise<void> {
  expect(Array.from(await tokenizer.encodeAsync('Hello'))).toEqual(hello);
  expect(Array.from(tokenizer.encode('Hello'))).toEqual(hello);
}

describe('what takes longer than its length allows', () => {
  beforeAll(() => {
    allowed.share = isNightly ? 1 : 0.25;
  });
  afterAll(() => {
    allowed.share = 1;
  });
  const backtracking = { pre_tokenizer: split('^(a+)+$') };
  const evil = `${'a'.repeat(40)}b`;

  it('ends with LIMIT_EXCEEDED, and the others live on', async () => {
    const tokenizer = await load(backtracking);
    const before = tokenizer.encodeAsync('Hello');
    const stuck = tokenizer.encodeAsync(evil);
    const behind = [tokenizer.encodeAsync('Hello'), tokenizer.encodeAsync('hello')];
    await expect(stuck).rejects.toMatchObject({ ...limit, details: { seconds: 4 * allowed.share } });
    expect(Array.from(await before)).toEqual(hello);
    expect(Array.from(await behind[0]!)).toEqual(hello);
    expect((await behind[1]!).length).toBe(5);
    await expectHello(tokenizer);
  });

  it('throws so where it was waited for, also before others that wait', async () => {
    const tokenizer = await load(backtracking);
    expect(() => tokenizer.encode(evil)).toThrow(expect.objectContaining(limit));
    await expectHello(tokenizer);
    const stuck = tokenizer.encodeAsync(evil);
    stuck.catch(() => {});
    expect(Array.from(tokenizer.encode('Hello'))).toEqual(hello);
    await expect(stuck).rejects.toMatchObject(limit);
  });

  it('goes at an abort, in a pattern too', async () => {
    const tokenizer = await load(backtracking);
    const controller = new AbortController();
    const stuck = tokenizer.encodeAsync(evil, { signal: controller.signal });
    setTimeout(() => controller.abort('enough'), 50);
    await expect(stuck).rejects.toBe('enough');
    await expectHello(tokenizer);
  });

  it('is no decoder either, over one token or a text', async () => {
    const Regex = '(?:a+)+b';
    const Replace = { type: 'Replace', pattern: { Regex }, content: '' };
    const word = 'a'.repeat(40);
    const vocab = { ...letters, [word]: Object.keys(letters).length };
    const model = { type: 'BPE', vocab, merges: [] };
    for (const decoders of [[Replace], [{ type: 'Fuse' }, Replace]]) {
      const tokenizer = await load({ model, decoder: { type: 'Sequence', decoders } as object });
      expect(() => tokenizer.decode([vocab[word]!])).toThrow(expect.objectContaining(limit));
      expect(tokenizer.decode([vocab.a!, vocab.b!, vocab.c!])).toBe(decoders.length === 1 ? 'abc' : 'c');
      await expectHello(tokenizer);
    }
  });

  it('is no load either', async () => {
    const normalized = { type: 'Replace', pattern: { Regex: '(x+x+)+y' }, content: '' };
    const token = { id: 40, content: 'x'.repeat(40), special: false, normalized: true };
    const source = sourceOf({ normalizer: normalized, added_tokens: [token] });
    await expect(Tokenizer.load(source)).rejects.toMatchObject(limit);
    const controller = new AbortController();
    const loading = Tokenizer.load(source, { signal: controller.signal });
    setTimeout(() => controller.abort('enough'), 50);
    await expect(loading).rejects.toBe('enough');
  });

  it('lets the process end', async () => {
    const program = `
      import { Tokenizer } from ${JSON.stringify(join(packageRoot, 'dist', 'tokenizer', 'tokenizer.js'))};
      const tokenizer = await Tokenizer.load(${JSON.stringify(sourceOf(backtracking))});
      tokenizer.encodeAsync(${JSON.stringify(evil)}).catch(() => {});
      setTimeout(() => process.exit(3), 100);`;
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      timeout: 30_000,
    });
    await expect(run).rejects.toMatchObject({ code: 3 });
  });
});

describe('what grows beyond all bounds', () => {
  it.each([
    [
      'two replacements, one of the other',
      sequence(replace('a', 'b'.repeat(11_600)), replace('b', 'c'.repeat(11_600))),
    ],
    [
      'a replacement by pattern',
      sequence(
        { type: 'Replace', pattern: { Regex: '[a-z]' }, content: 'b'.repeat(100_000) },
        { type: 'Replace', pattern: { Regex: '[a-z]' }, content: 'b'.repeat(100_000) },
      ),
    ],
    [
      'one that makes more of its own',
      sequence(...Array.from({ length: 3 }, () => replace('a', 'a'.repeat(4096)))),
    ],
  ])('%s', async (_, normalizer) => {
    const tokenizer = await load({ normalizer, pre_tokenizer: split('.') });
    await expect(tokenizer.encodeAsync('a')).rejects.toMatchObject(limit);
    expect(() => tokenizer.encode('a')).toThrow(expect.objectContaining(limit));
    expect(Array.from(await tokenizer.encodeAsync('H'))).toEqual([letters.H]);
  });

  it('a text that is too long, or has too long a word', async () => {
    const tokenizer = await load({});
    await expect(tokenizer.encodeAsync('a'.repeat(2 ** 26 + 1))).rejects.toMatchObject(limit);
    await expect(tokenizer.encodeAsync('a'.repeat(2 ** 22 + 1))).rejects.toMatchObject(limit);
    await expectHello(tokenizer);
  });

  it('an id that no vocabulary of its size has', async () => {
    for (const id of [1e9, 2 ** 31 - 2]) {
      const model = { ...bare.model, vocab: { ...letters, far: id } };
      await expect(Tokenizer.load(sourceOf({ model }))).rejects.toMatchObject({
        code: 'MODEL_FORMAT',
        message: expect.stringContaining(String(id)),
      });
    }
    const tokenizer = await load({});
    for (const id of [1e9, -1, 1.5, Number.NaN, 28]) {
      expect(() => tokenizer.decode([id])).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });
});

describe('special tokens that are long', () => {
  const added = (contents: string[]) =>
    contents.map((content, i) => ({ id: 100 + i, content, special: true, normalized: false }));

  it('3,000 of distinct lengths and one of 100,000, with a message of 100,000 letters', async () => {
    const contents = Array.from({ length: 3000 }, (_, i) => `${'a'.repeat(i + 1)}!`);
    const tokenizer = await load(
      { added_tokens: added([...contents, `${'a'.repeat(99_999)}!`]) },
      { chat_template: '{{ messages[0].content }}' },
    );
    const content = 'a'.repeat(100_000);
    expect((await tokenizer.encodeChat([{ role: 'user', content }])).length).toBe(100_000);
    expect((await tokenizer.encodeAsync(content)).length).toBe(100_000);
  });

  it('are found where they are', async () => {
    const long = 'a'.repeat(1000);
    const tokenizer = await load({ added_tokens: added([`${long}b`, `${long}c`, `${long}bb`, 'ab']) });
    expect(Array.from(await tokenizer.encodeAsync(`a${long}bb${long}c${long}dab`))).toEqual([
      0,
      ...[30, 29],
      ...Array.from({ length: 1000 }, () => 0),
      ...[3, 31],
    ]);
  });
});

it('40 MB are given up at once, and the next text does not wait', async () => {
  const tokenizer = await load({ pre_tokenizer: split('a+') });
  await expectHello(tokenizer);
  for (const delay of [0, 30, 300, 1000]) {
    const controller = new AbortController();
    const long = tokenizer.encodeAsync('abcdefgh'.repeat(5_000_000), { signal: controller.signal });
    setTimeout(() => controller.abort('enough'), delay);
    await expect(long).rejects.toBe('enough');
    const begin = performance.now();
    await tokenizer.encodeAsync('Hello');
    expect(performance.now() - begin).toBeLessThan(2000);
  }
});

describe('templates that are given no end', () => {
  const doubling = (start: string, step: string, end: string) =>
    `{% set ns = namespace(x=${start}) %}{% for i in range(99999) %}{% set ns.x = ${step} %}{% endfor %}${end}`;

  it.each([
    ['a long range', '{% for i in range(1000000000) %}{% endfor %}x'],
    [
      'a macro that calls itself twice',
      '{% macro m(n) %}{{ m(n + 1) }}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}',
    ],
    ['replacements of what was put in', doubling("'aa'", "ns.x | replace('a', 'aa')", '{{ ns.x }}')],
    ['lists of lists as JSON', doubling('[1]', '[ns.x, ns.x]', '{{ ns.x | tojson }}')],
    ['lists twice as long', doubling('[1]', 'ns.x + ns.x', '{{ ns.x | length }}')],
    ['characters of a long text', "{% for c in 'ab' * 4000000 %}{{ c }}{% endfor %}"],
  ])('%s', async (_, template) => {
    const tokenizer = await load({}, { chat_template: template });
    const messages = [{ role: 'user', content: 'Hello' }];
    const expected = { ...limit, message: expect.stringContaining('line 1') };
    await expect(tokenizer.applyChatTemplateAsync(messages)).rejects.toMatchObject(expected);
    expect(() => tokenizer.applyChatTemplate(messages)).toThrow(expect.objectContaining(expected));
    await expect(tokenizer.encodeChat(messages)).rejects.toMatchObject(expected);
    await expectHello(tokenizer);
  });
});

it('texts that would fill a small heap end in ids or LIMIT_EXCEEDED, and the next one works', async () => {
  const marks = sourceOf({ normalizer: { type: 'NFKC' } });
  const special = sourceOf({ added_tokens: [{ id: 100, content: 'a', special: true, normalized: false }] });
  const spaces = sourceOf({ pre_tokenizer: { type: 'Metaspace' }, normalizer: { type: 'Nmt' } });
  const program = `
    import { Tokenizer } from ${JSON.stringify(join(packageRoot, 'dist', 'tokenizer', 'tokenizer.js'))};
    for (const [source, text, times] of [
      [${JSON.stringify(marks)}, '\\u0915\\u094d', 2 ** 20],
      [${JSON.stringify(marks)}, '\\u0995\\u09be', 2 ** 22],
      [${JSON.stringify(special)}, 'a', 2 ** 24],
      [${JSON.stringify(special)}, 'a', 2 ** 25],
      [${JSON.stringify(spaces)}, '\\u00c4b ', 2 ** 21],
    ]) {
      const tokenizer = await Tokenizer.load(source);
      const end = await tokenizer.encodeAsync(text.repeat(times)).then(() => 'ids', (error) => error.code);
      console.log(end, Array.from(await tokenizer.encodeAsync('Hello')).join());
      await tokenizer.dispose();
    }`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--max-old-space-size=256', '--input-type=module', '-e', program],
    { timeout: 200_000 },
  );
  const ends = ['ids', 'LIMIT_EXCEEDED', 'ids', 'LIMIT_EXCEEDED', 'ids'];
  expect(stdout.trim().split('\n')).toEqual(ends.map((end) => `${end} ${hello.join()}`));
});
