/** Texts that fill a gap: the prompt of a model whose vocabulary has tokens for it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Call } from '../../lib/server/call.js';
import { completionsRoute } from '../../lib/server/openai/completions.js';
import { chatTokenizer } from './chat-tokenizer.js';
import { callOf, json } from './scripted-call.js';

type Made = Awaited<ReturnType<typeof chatTokenizer>>;

const families = [
  ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'],
  ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'],
  ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'],
];

describe.each(families)('%s', (...tokens) => {
  let made: Made;
  beforeAll(async () => {
    made = await chatTokenizer('', ['<end>', ...tokens]);
  });
  afterAll(() => made.close());

  const promptsOf = async (body: object): Promise<number[][]> => {
    const prompts: number[][] = [];
    const call = callOf({});
    const { generate } = call;
    const watched: Partial<Call> = {
      model: { tokenizer: made.tokenizer, info: {} } as unknown as Call['model'],
      generate: (prompt, options, variables) => {
        prompts.push(Array.from(prompt as Int32Array));
        return generate(prompt, options, variables);
      },
    };
    await json(completionsRoute, body, { ...call, ...watched });
    return prompts;
  };

  it('stand before what is before the gap, before what is behind it, and at the end', async () => {
    const [a, b, c] = made.idsOf('abc');
    expect(await promptsOf({ prompt: 'ab', suffix: 'c' })).toEqual([[201, a, b, 202, c, 203]]);
    expect(await promptsOf({ prompt: '', suffix: '' })).toEqual([[201, 202, 203]]);
    expect(await promptsOf({ prompt: [[a, b], 'c'], suffix: 'b' })).toEqual([
      [201, a, b, 202, b, 203],
      [201, c, 202, b, 203],
    ]);
  });

  it('take no echo, which would have a gap', async () => {
    await expect(promptsOf({ prompt: 'a', suffix: 'b', echo: true })).rejects.toMatchObject({
      param: 'echo',
    });
  });
});

it('a vocabulary that knows two of the three has none', async () => {
  const made = await chatTokenizer('', ['<end>', '<fim_prefix>', '<fim_suffix>']);
  const call = { ...callOf({}), model: { tokenizer: made.tokenizer, info: {} } } as unknown as Call;
  await expect(json(completionsRoute, { prompt: 'a', suffix: 'b' }, call)).rejects.toMatchObject({
    param: 'suffix',
    code: 'unsupported_by_model',
  });
  await made.close();
});
