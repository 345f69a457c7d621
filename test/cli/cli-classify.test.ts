/** `kvasir classify` and `kvasir rerank`: JSON lines in and out. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/index.js';
import { kvasir } from './cli-command.js';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));
const texts = ['The creature opened its eyes.', 'I am safe and well.'];
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-classify-'));
  for (const name of ['bert', 'bert-pairs', 'bert-tokens']) {
    cpSync(join(fixtures, 'classifiers', name), join(folder, name), { recursive: true });
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
      cpSync(join(fixtures, 'encoders/bert', file), join(folder, name, file));
    }
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

async function lines(args: string[], input?: string): Promise<Record<string, unknown>[]> {
  const { status, stdout, stderr } = await kvasir(args, { input });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('classify and rerank', () => {
  it('print the labels that the library gives', async () => {
    await using model = await Model.load(join(folder, 'bert'));
    const expected = await model.classify(texts);
    const path = join(folder, 'bert');
    expect(await lines(['classify', path, ...texts])).toEqual(
      texts.map((text, index) => ({ index, text, labels: expected[index] })),
    );
    const input = `${JSON.stringify({ id: 7, text: texts[1] })}\n`;
    expect(await lines(['classify', path, '--top-k', '1'], input)).toEqual([
      { index: 0, id: 7, text: texts[1], labels: expected[1].slice(0, 1) },
    ]);
  });

  it('print entities', async () => {
    await using model = await Model.load(join(folder, 'bert-tokens'));
    const [expected] = await model.classify(texts[0], { aggregation: 'none' });
    const [line] = await lines(['classify', join(folder, 'bert-tokens'), '--aggregation', 'none', texts[0]]);
    expect(line.labels).toEqual(expected);
  });

  it('print the ranking that the library gives', async () => {
    await using model = await Model.load(join(folder, 'bert-pairs'));
    const documents = [...texts, 'A'];
    const expected = (await model.rerank('Who?', documents)).map((one) => ({
      ...one,
      text: documents[one.index],
    }));
    const args = ['rerank', join(folder, 'bert-pairs'), 'Who?'];
    expect(await lines([...args, ...documents])).toEqual(expected);
    const [{ score }] = await model.rerank('Who?', documents, { raw: true });
    const [first, ...others] = await lines([...args, '--raw', '--top-k', '1'], documents.join('\n'));
    expect([first.score, first.text, others]).toEqual([score, expected[0].text, []]);
  });

  it('say what is wrong', async () => {
    const cases: [string[], number, RegExp][] = [
      [['classify', 'stories-260k', 'a'], 1, /no classifier/],
      [['rerank', 'stories-260k', 'a', 'b'], 1, /no reranker/],
      [['classify', join(folder, 'bert'), '--aggregation', 'max', 'a'], 2, /Allowed choices/],
      [['rerank', join(folder, 'bert')], 2, /query/],
    ];
    for (const [args, status, message] of cases) {
      expect(await kvasir(args)).toMatchObject({
        status,
        stdout: '',
        stderr: expect.stringMatching(message),
      });
    }
  });
});
