/** generation_config.json: numbers are checked as options are, and mean what their writers mean. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { generationDefaults } from '../../lib/formats/generation-config.js';
import { writeInt8Configs } from '../../lib/formats/int8-folder.js';
import type { ModelDescription } from '../../lib/formats/index.js';
import { parseGenerateOptions } from '../../lib/options.js';

const folder = mkdtempSync(join(tmpdir(), 'kvasir-generation-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'generation_config.json');

function read(file: object | string | undefined, config: Record<string, unknown> = {}) {
  if (file !== undefined) writeFileSync(path, typeof file === 'string' ? file : JSON.stringify(file));
  return generationDefaults(file === undefined ? undefined : path, config);
}

describe('generation_config.json', () => {
  it.each([
    [{ eos_token_id: 5 }, {}, { eosTokenIds: [5] }],
    [{ eos_token_id: [5, 6] }, { eos_token_id: 7 }, { eosTokenIds: [5, 6] }],
    [undefined, { eos_token_id: [7, 8], bos_token_id: 1 }, { eosTokenIds: [7, 8], bosTokenId: 1 }],
    [{ bos_token_id: [3] }, { eos_token_id: 7 }, { eosTokenIds: [7], bosTokenId: 3 }],
    [{ eos_token_id: null }, { eos_token_id: null }, { eosTokenIds: [] }],
    [{ eos_token_id: [2, -1], pad_token_id: -1, bos_token_id: -1 }, {}, { eosTokenIds: [2] }],
    [{ pad_token_id: -1 }, { pad_token_id: 4 }, { eosTokenIds: [], padTokenId: 4 }],
    [{ repetition_penalty: 1.1 }, {}, { eosTokenIds: [], repetitionPenalty: 1.1 }],
  ])('%j beside %j', async (file, config, expected) => {
    expect(await read(file, config)).toEqual(expected);
  });

  it('gives sampling only where it samples', async () => {
    const numbers = { temperature: 0.6, top_p: 0.9, top_k: 40, min_p: 0.1, typical_p: 0.8 };
    expect(await read(numbers)).toEqual({ eosTokenIds: [] });
    expect(await read({ ...numbers, do_sample: false })).toEqual({ eosTokenIds: [] });
    expect(await read({ ...numbers, do_sample: true })).toEqual({
      eosTokenIds: [],
      ...{ temperature: 0.6, topP: 0.9, topK: 40, minP: 0.1, typicalP: 0.8 },
    });
    expect(await read({ do_sample: true })).toEqual({ eosTokenIds: [], temperature: 1 });
    const off = { temperature: null, top_k: -1, top_p: null };
    expect(await read({ do_sample: true, ...off })).toEqual({ eosTokenIds: [], temperature: 1, topK: 0 });
  });

  it.each([
    [{ top_k: -2 }, /top_k is -2; it must be an integer from 0/],
    [{ top_k: 2.5 }, /top_k is 2.5/],
    [{ top_p: 0 }, /top_p is 0; it must be a number above 0 and at most 1/],
    [{ top_p: 1.5 }, /top_p is 1.5/],
    [{ temperature: -1 }, /temperature is -1; it must be a number from 0 to 100/],
    [{ temperature: '1' }, /temperature is "1"/],
    [{ min_p: 2 }, /min_p is 2/],
    [{ typical_p: 0 }, /typical_p is 0/],
    [{ repetition_penalty: 0 }, /repetition_penalty is 0/],
    [{ do_sample: 'yes' }, /do_sample is "yes"; it must be true or false/],
    [{ eos_token_id: -2 }, /eos_token_id/],
    [{ eos_token_id: 'x' }, /eos_token_id/],
    [{ eos_token_id: [1.5] }, /eos_token_id/],
    ['{"do_sample": true, "temperature": NaN}', /temperature is NaN/],
    ['{"do_sample": true, "top_p": Infinity}', /top_p is Infinity/],
    ['[]', /JSON object/],
  ])('%j is MODEL_FORMAT', async (file, message) => {
    const work = read(typeof file === 'string' ? file : { do_sample: true, ...file });
    await expect(work).rejects.toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(message),
    });
    await expect(work).rejects.toThrow('generation_config.json');
  });

  it('is the default of options, and is written with the INT8 form', async () => {
    const file = {
      do_sample: true,
      min_p: 0.2,
      typical_p: 0.7,
      top_k: 9,
      eos_token_id: [3],
      repetition_penalty: 2,
    };
    const defaults = await read(file);
    expect(parseGenerateOptions({}, defaults, 100).sampling).toMatchObject({
      minP: 0.2,
      typicalP: 0.7,
      topK: 9,
    });
    expect(parseGenerateOptions({ minP: 0 }, defaults, 100).sampling).toMatchObject({
      minP: 0,
      typicalP: 0.7,
    });
    const description = {
      architecture: 'llama',
      generationDefaults: defaults,
      spec: {
        attentions: [{}],
        feedForwards: [{}],
        stack: { layers: [{ attention: 0, feedForward: 0 }] },
      },
    };
    await writeInt8Configs(description as unknown as ModelDescription, folder);
    expect(await generationDefaults(path, {})).toEqual(defaults);
  });
});
