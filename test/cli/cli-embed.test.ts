/** `kvasir embed`: JSON lines in and out. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { kvasir, start } from './cli-command.js';

interface Line {
  index: number;
  text: string;
  embedding: number[];
  id?: number;
}

const texts = ['Once upon a time', 'naïve "café" 🙂', 'The end.'];

describe('embed', () => {
  let model: Model;
  beforeAll(async () => {
    model = await Model.load('stories-260k');
  });
  afterAll(() => model.dispose());

  async function lines(args: string[], input?: string): Promise<Line[]> {
    const { status, stdout, stderr } = await kvasir(['embed', 'stories-260k', ...args], { input });
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/texts, \d+ tokens in /) });
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  }

  it('prints what the library gives', async () => {
    const vectors = await model.embed(texts);
    const got = await lines(texts);
    expect(got.map(({ index, text }) => [index, text])).toEqual(texts.map((text, i) => [i, text]));
    got.forEach(({ embedding }, i) => {
      expect(Float32Array.from(embedding)).toEqual(vectors[i]);
    });
  });

  it('obeys its flags', async () => {
    const options = { pooling: 'last', dimensions: 5, prompt: 'A: ', normalize: false } as const;
    const [expected] = await model.embed(texts[0], options);
    const flags = ['--pooling', 'last', '--dimensions', '5', '--prompt', 'A: ', '--no-normalize'];
    const [{ embedding }] = await lines([texts[0], ...flags]);
    expect(Float32Array.from(embedding)).toEqual(expected);
  });

  it('reads lines, JSON strings and objects, more than it takes at a time', async () => {
    const many = Array.from({ length: 1100 }, (_, i) => `line ${i}`);
    const input = [
      texts[0],
      '',
      JSON.stringify(texts[1]),
      JSON.stringify({ id: 7, text: texts[2] }),
      '{no',
      '5',
    ]
      .concat(many)
      .join('\r\n');
    const got = await lines([], input);
    expect(got.map(({ text }) => text)).toEqual([...texts, '{no', '5', ...many]);
    expect(got.map(({ index }) => index)).toEqual(got.map((_, i) => i));
    expect(got[2].id).toBe(7);
    const [last] = await model.embed(many[1099]);
    expect(Float32Array.from(got[1104].embedding)).toEqual(last);
  });

  it('says what is wrong', async () => {
    const cases: [string[], string | undefined, number, RegExp][] = [
      [['--pooling', 'sum', 'a'], undefined, 2, /Allowed choices/],
      [['--dimensions', '65', 'a'], undefined, 1, /from 1 to 64/],
      [[], '{"id": 5}', 2, /without a "text"/],
      [['Once '.repeat(600)], undefined, 1, /CONTEXT_OVERFLOW|holds 512/],
    ];
    for (const [args, input, status, message] of cases) {
      const outcome = await kvasir(['embed', 'stories-260k', ...args], { input });
      expect(outcome).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(message) });
    }
  });

  it('ends by Ctrl-C while it waits for lines', async () => {
    const running = start(['embed', 'stories-260k']);
    running.child.stdin.write('Once\n'.repeat(600));
    await running.until(({ stdout }) => stdout.length > 100);
    running.child.kill('SIGINT');
    await new Promise((resolve) => running.child.on('exit', resolve));
    expect(await running.end()).toMatchObject({ status: 130, stderr: '' });
  });
});
