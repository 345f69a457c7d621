/** `kvasir search`: JSON lines of vectors or texts in, hits out. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model, VectorIndex } from '../../lib/index.js';
import { kvasir } from './cli-command.js';

interface Line {
  index: number;
  text?: string;
  id?: string;
  hits: { index: number; score: number; text?: string; name?: string; id?: number }[];
}

const vectors = [
  [1, 0, 0],
  [0, 1, 0],
  [1, 1, 0],
];
const texts = ['Once upon a time', 'The dog ran.', 'Lily had a red ball', 'The end.'];
let folder: string;
let lines: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-search-'));
  lines = join(folder, 'vectors.jsonl');
  writeFileSync(
    lines,
    vectors.map((embedding, i) => JSON.stringify({ name: `v${i}`, embedding })).join('\n'),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

async function search(args: string[], input?: string): Promise<Line[]> {
  const { status, stdout, stderr } = await kvasir(['search', ...args], { input });
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: expect.stringMatching(/vectors of \d+ dimensions/),
  });
  return stdout === ''
    ? []
    : stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
}

describe('search', () => {
  it('finds vectors by vectors, and gives back the fields of both', async () => {
    const input = ['[2, 0, 0.1]', '', JSON.stringify({ id: 'q', embedding: [0, 1, 1] })].join('\n');
    const got = await search([lines, '-k', '2'], input);
    expect(got.map(({ index, id }) => [index, id])).toEqual([
      [0, undefined],
      [1, 'q'],
    ]);
    expect(got[0].hits).toEqual([
      { name: 'v0', index: 0, score: expect.closeTo(2 / Math.hypot(2, 0.1), 4) },
      { name: 'v2', index: 2, score: expect.closeTo(2 / Math.hypot(2, 0.1) / Math.SQRT2, 4) },
    ]);
    expect(got[1].hits.map(({ name }) => name)).toEqual(['v1', 'v2']);
  });

  it('saves an index that it and the library read', async () => {
    const saved = join(folder, 'saved');
    expect(await search([lines, '--save', saved])).toEqual([]);
    await using index = await VectorIndex.load(saved);
    const [{ hits }] = await search([saved], '[1, 0.9, 0]');
    expect(hits).toEqual(await index.search([1, 0.9, 0]));
    expect(hits[0].index).toBe(2);
  });

  it('embeds texts as the library does', async () => {
    const path = join(folder, 'texts');
    writeFileSync(path, texts.join('\n'));
    const model = await Model.load('stories-260k');
    const made = await model.embed(texts);
    const [query] = await model.embed('The cat ran.', { prompt: 'A: ' });
    await model.dispose();
    await using index = new VectorIndex(64);
    await index.add(made);
    const expected = await index.search(query, 3);
    const args = [path, '--model', 'stories-260k', '--prompt', 'A: ', '-k', '3'];
    const [line] = await search([...args, 'The cat ran.']);
    expect(line.text).toBe('The cat ran.');
    expect(line.hits).toEqual(expected.map(({ index, score }) => ({ text: texts[index], index, score })));
    expect(await search(args, '"The cat ran."')).toEqual([line]);
  });

  it('says what is wrong', async () => {
    const bad = join(folder, 'bad');
    writeFileSync(bad, '{"name": 5}');
    const cases: [string[], string, number, RegExp][] = [
      [[lines], '[1, 2]', 1, /array of 3 finite numbers/],
      [[lines], 'a text', 2, /give a --model/],
      [[lines], '{"id": 5}', 2, /no "embedding" and no "text"/],
      [[bad], '[1]', 2, /no "embedding" and no "text"/],
      [[join(folder, 'absent')], '[1]', 2, /cannot be read/],
      [[folder], '[1]', 2, /cannot be read|is no file/],
      [[lines, '-k', '0'], '[1, 2, 3]', 2, /from 1 on/],
    ];
    for (const [args, input, status, message] of cases) {
      const outcome = await kvasir(['search', ...args], { input });
      expect(outcome).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(message) });
    }
  });
});
