/**
 * All that a model folder says beside its weights: names without prefix, heads of their own in tied models, generation_config.json,
 * end-of-text tokens, split GGUF files. Token ids are those of transformers 5.24.0, greedy, in float32.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type GenerateOptions, type GenerationResult, Model } from '../../lib/index.js';
import { quantizeModel } from '../../lib/quantize.js';
import { fixtures } from './golden.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvasir-model-folders-'));
  cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const table = 'model.embed_tokens.weight';
const head = 'lm_head.weight';
const untied = [298, 273, 68, 217, 306, 171, 208, 224, 277, 13, 256, 208];
const tied = new Array(12).fill(180);
const headOnly = [11, 284, 193, 253, 309, 289, 289, 4, 40, 286, 286, 286];

function edit(name: string, change: object): void {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
}

type Tensors = Record<string, { data_offsets: [number, number] }>;

/** The header with something changed: tensors that it leaves out stay as bytes that nobody reads. */
function rewriteTensors(change: (tensors: Tensors, data: Buffer) => Tensors): void {
  const path = join(folder, 'model.safetensors');
  const bytes = readFileSync(path);
  const length = Number(bytes.readBigUInt64LE());
  const data = Buffer.from(bytes.subarray(8 + length));
  const { __metadata__: metadata, ...tensors } = JSON.parse(bytes.subarray(8, 8 + length).toString());
  // What nobody names belongs to a tensor that nobody reads: the format knows no gaps.
  const kept = change(tensors, data);
  const used = new Set(Object.values(kept).map(({ data_offsets: [begin] }) => begin));
  const unread = Object.values(tensors as Tensors)
    .filter(({ data_offsets: [begin] }) => !used.has(begin))
    .map((tensor, i) => [`layers.${i}.self_attn.rotary_emb.inv_freq`, tensor]);
  const header = Buffer.from(
    JSON.stringify({ __metadata__: metadata, ...kept, ...Object.fromEntries(unread) }),
  );
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([size, header, data]));
}

const without = (name: string) => (tensors: Tensors) =>
  Object.fromEntries(Object.entries(tensors).filter(([key]) => key !== name));
const bare = (tensors: Tensors): Tensors =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name.replace(/^model\./, ''), tensor]));

/** The table's bytes in the place of the head's. */
function copied(tensors: Tensors, data: Buffer): Tensors {
  data.copy(data, tensors[head]!.data_offsets[0], ...tensors[table]!.data_offsets);
  return tensors;
}

interface Ran {
  result: GenerationResult;
  linears: string[];
  warnings: string[];
}

async function run(options: GenerateOptions = {}, reference = folder, prompt = 'A'): Promise<Ran> {
  const warnings: string[] = [];
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation((warning) => {
    warnings.push(String(warning));
  });
  const model = await Model.load(reference, { dtype: 'fp32', device: 'cpu' });
  try {
    const result = await model.generate(prompt, {
      maxTokens: 12,
      ignoreEos: true,
      temperature: 0,
      ...options,
    });
    return { result, linears: Object.keys(model.info.linears), warnings };
  } finally {
    await model.dispose();
    warned.mockRestore();
  }
}

describe('tensors', () => {
  it('no-prefix-head: names without model.', async () => {
    rewriteTensors(bare);
    expect((await run()).result.tokens).toEqual(untied);
  });

  it('no-prefix-tied: the same without a head', async () => {
    rewriteTensors((tensors) => bare(without(head)(tensors)));
    edit('config.json', { tie_word_embeddings: true });
    const { result, linears, warnings } = await run();
    expect(result.tokens).toEqual(tied);
    expect(linears).not.toContain('lm_head');
    expect(warnings).toEqual([]);
  });

  it('a head of its own counts, whatever the configuration says, with a warning', async () => {
    edit('config.json', { tie_word_embeddings: true });
    const { result, linears, warnings } = await run();
    expect(result.tokens).toEqual(untied);
    expect(linears).toContain('lm_head');
    expect(warnings.join()).toMatch(
      /tie_word_embeddings, but lm_head.weight and model.embed_tokens.weight differ/,
    );
  });

  it('a head that is a copy of the table is not loaded', async () => {
    rewriteTensors(copied);
    edit('config.json', { tie_word_embeddings: true });
    const { result, linears, warnings } = await run();
    expect(result.tokens).toEqual(tied);
    expect(linears).not.toContain('lm_head');
    expect(warnings).toEqual([]);
  });

  it('a head alone is the table too', async () => {
    rewriteTensors(without(table));
    edit('config.json', { tie_word_embeddings: true });
    const { result, linears } = await run();
    expect(result.tokens).toEqual(headOnly);
    expect(linears).not.toContain('lm_head');
  });
});

describe('numbers as their writers mean them', () => {
  it('topk-minus-1: off, and sampling as the file says', async () => {
    const file = { do_sample: true, temperature: 1.0, top_k: -1, top_p: 0.95, eos_token_id: 1 };
    const expected = await run({ temperature: 1, topP: 0.95, topK: 0, seed: 7 });
    edit('generation_config.json', file);
    const { result } = await run({ temperature: undefined, seed: 7 });
    expect(result.tokens).toEqual(expected.result.tokens);
    expect(result.tokens).not.toEqual(untied);
  });

  it.each([
    ['pad-minus-1', 'config.json', '"pad_token_id": -1'],
    ['gen-pad-minus-1', 'generation_config.json', '"pad_token_id": -1'],
    ['gen-eos-minus-1', 'generation_config.json', '"eos_token_id": [1, -1]'],
    ['gen-nan', 'generation_config.json', '"length_penalty": NaN'],
    ['numbers without end', 'config.json', '"a": Infinity, "b": -Infinity, "c": NaN'],
    ['the same of the tokenizer', 'tokenizer_config.json', '"model_max_length": Infinity'],
  ])('%s: %s with %s loads', async (_, name, field) => {
    const path = join(folder, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace('{', `{${field},`));
    expect((await run()).result.tokens).toEqual(untied);
  });
});

describe('the end of a text', () => {
  const last = untied[1]!;
  const ended = untied.slice(0, 1);

  it.each([
    ['generation_config.json', { eos_token_id: last }],
    ['generation_config.json', { eos_token_id: [5, last] }],
    ['config.json', { eos_token_id: [last, 1] }],
  ])('%s says %j', async (name, change) => {
    if (name === 'config.json') rmSync(join(folder, 'generation_config.json'));
    edit(name, change);
    const { result } = await run({ ignoreEos: false });
    expect(result).toMatchObject({ tokens: ended, finishReason: 'stop' });
  });

  it('an id of -1 in generation_config.json leaves it to config.json', async () => {
    edit('generation_config.json', { eos_token_id: -1 });
    edit('config.json', { eos_token_id: last });
    expect((await run({ ignoreEos: false })).result.tokens).toEqual(ended);
  });

  /** The second token, as the vocabulary spells it. */
  const spelled = (): string => {
    const { model } = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8'));
    return Object.entries(model.vocab as Record<string, number>).find(([, id]) => id === last)![0];
  };

  it.each(['tokenizer_config.json', 'special_tokens_map.json'])('%s names the token', async (name) => {
    writeFileSync(join(folder, 'tokenizer_config.json'), '{}');
    writeFileSync(join(folder, name), JSON.stringify({ eos_token: spelled() }));
    const { result } = await run({ ignoreEos: false });
    expect(result).toMatchObject({ tokens: ended, finishReason: 'stop' });
  });

  it('a stop string that spells a special token ends the text before it', async () => {
    edit('tokenizer_config.json', { additional_special_tokens: [spelled()] });
    const plain = await run();
    expect(plain.result.tokens).toEqual(untied);
    const { result } = await run({ stop: spelled() });
    expect(result).toMatchObject({ tokens: [...ended, last], finishReason: 'stop' });
    expect(plain.result.text.startsWith(result.text)).toBe(true);
    expect(result.text).not.toContain(spelled());
    // Text before the token and the token together.
    const through = await run({ stop: result.text.slice(-1) + spelled() });
    expect(through.result).toMatchObject({ text: result.text.slice(0, -1), finishReason: 'stop' });
  });
});

describe('a split GGUF model', () => {
  const split = `${fixtures}split-gguf/tiny-0000`;
  const whole = `${fixtures}tiny-llama-variants/q4_0.gguf`;

  it('loads from any of its parts, from their folder, and is written as INT8', async () => {
    const expected = (await run({}, whole)).result.tokens;
    for (const part of [1, 3]) {
      expect((await run({}, `${split}${part}-of-00003.gguf`)).result.tokens).toEqual(expected);
    }
    const parts = join(folder, 'parts');
    cpSync(`${fixtures}split-gguf`, parts, { recursive: true });
    const model = await Model.load(parts);
    expect(model.info.name).toBe('parts');
    expect(model.tokenizer.chatTemplateNames).toContain('short');
    const messages = [{ role: 'user', content: 'x' }];
    expect(model.tokenizer.applyChatTemplate(messages, { template: 'short' })).toBe('[x]');
    const session = model.createSession({ template: 'short' });
    const { usage } = await session.send('x', { maxTokens: 1 });
    expect(usage.promptTokens).toBe(
      (await model.tokenizer.encodeChat(messages, { template: 'short' })).length,
    );
    expect(() => model.createSession({ template: 'other' })).not.toThrow();
    await expect(model.createSession({ template: 'other' }).send('x')).rejects.toThrow(
      /no chat template 'other'/,
    );
    await model.dispose();
    const out = join(folder, 'int8');
    await quantizeModel(parts, out);
    const written = await Model.load(out);
    expect(written.tokenizer.applyChatTemplate(messages, { template: 'short' })).toBe('[x]');
    await written.dispose();
  });

  it('g-split: what is missing is named', async () => {
    cpSync(`${split}1-of-00003.gguf`, join(folder, 'm-00001-of-00003.gguf'));
    cpSync(`${split}3-of-00003.gguf`, join(folder, 'm-00003-of-00003.gguf'));
    for (const part of [1, 2, 3]) {
      await expect(Model.load(join(folder, `m-0000${part}-of-00003.gguf`))).rejects.toMatchObject({
        message: expect.stringMatching(
          part === 2 ? /no such alias, folder or file/i : /lacks 1 of 3 weight files: m-00002-of-00003.gguf/,
        ),
      });
    }
    cpSync(`${split}1-of-00003.gguf`, join(folder, 'renamed.gguf'));
    await expect(Model.load(join(folder, 'renamed.gguf'))).rejects.toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/split into 3 files, but 1 were given.*NAME-00001-of-00002.gguf/),
    });
  });
});
