/** INT8 forms of classifiers, cross-encoders and encoders with dense steps: the scores and vectors of their source. */
import { appendFileSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KvasirError, Model } from '../../lib/index.js';
import { quantizeModel } from '../../lib/quantize.js';
import { classifierFolder } from './classifier-folders.js';
import { fixtures, readGolden } from './golden.js';

interface Golden {
  texts: string[];
  query: string;
  documents: string[];
  cases: Record<string, { task: 'sequence' | 'pairs' | 'tokens' }>;
}
const { texts, query, documents, cases } = readGolden<Golden>('classifiers/golden.json');
const file = 'classifier.safetensors';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-forms-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function formOf(name: string): Promise<{ source: string; form: string }> {
  const source = classifierFolder(folder, name);
  const form = mkdtempSync(join(folder, name));
  await quantizeModel(source, form);
  return { source, form };
}

async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => 'nothing',
    (reason) => reason,
  );
  return error instanceof KvasirError ? error.code : error;
}

describe('the INT8 form of a classifier', () => {
  it.each(Object.entries(cases))('%s: scores of its source, bit for bit', async (name, { task }) => {
    const { source, form } = await formOf(name);
    await using model = await Model.load(source, { dtype: 'int8', threads: 1 });
    await using stored = await Model.load(form, { threads: 1 });
    expect(stored.info).toMatchObject({
      storedDtype: 'INT8',
      kind: 'encoder',
      architecture: model.info.architecture,
    });
    if (task === 'pairs') {
      const expected = await model.rerank(query, documents);
      expect(await stored.rerank(query, documents)).toEqual(expected);
      expect(new Set(expected.map(({ score }) => score)).size).toBeGreaterThan(1);
    } else {
      const expected = await model.classify(texts);
      expect(await stored.classify(texts)).toEqual(expected);
      expect(expected.flat().length).toBeGreaterThanOrEqual(texts.length);
    }
    expect(await stored.embed(texts)).toEqual(await model.embed(texts));
  });

  it('refuses a classifier that is damaged, another one or missing', async () => {
    const { form } = await formOf('bert');
    const other = await formOf('distilbert');
    const path = join(form, file);
    const whole = readFileSync(path);
    appendFileSync(path, ' ');
    expect(await codeOf(Model.load(form))).toBe('MODEL_FORMAT');
    copyFileSync(join(other.form, file), path);
    expect(await codeOf(Model.load(form))).toBe('MODEL_FORMAT');
    rmSync(path);
    expect(await codeOf(Model.load(form))).toBe('MODEL_NOT_FOUND');
    expect(whole.length).toBeGreaterThan(1000);
  });

  it('has the folder that its page names, and models without a classifier have none', async () => {
    const { form } = await formOf('roberta');
    expect(readdirSync(form)).toContain(file);
    const plain = join(folder, 'plain');
    await quantizeModel(`${fixtures}encoders/bert`, plain);
    expect(readdirSync(plain)).not.toContain(file);
  });
});
