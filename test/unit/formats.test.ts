import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KvasirError } from '../../lib/errors.js';
import { describeModel, type ModelDescription } from '../../lib/formats/index.js';
import { type ModelFiles, resolveModel } from '../../lib/hub/index.js';
import { type Container, type MetadataValue, native, type TensorEntry } from '../../lib/native.js';
import { fixtures } from '../model/golden.js';

async function opened<T>(
  reference: string,
  use: (files: ModelFiles, container: Container) => Promise<T>,
): Promise<T> {
  const files = await resolveModel(reference);
  const container = await native().openContainer(files.weights);
  try {
    return await use(files, container);
  } finally {
    container.close();
  }
}

const describeAt = (reference: string): Promise<ModelDescription> => opened(reference, describeModel);

/** The model's container with something changed. */
function changed(
  container: Container,
  change: { tensors?: (all: TensorEntry[]) => TensorEntry[]; metadata?: Record<string, MetadataValue> },
): Container {
  return {
    format: container.format,
    metadata: { ...container.metadata, ...change.metadata },
    tensors: change.tensors ? change.tensors([...container.tensors]) : container.tensors,
    metadataArray: (key) => container.metadataArray(key),
    readTensor: (name) => container.readTensor(name),
    readRows: (name, first, count) => container.readRows(name, first, count),
    readBytes: (name, begin, size) => container.readBytes(name, begin, size),
    areCopies: (a, b) => container.areCopies(a, b),
    close: () => {},
  };
}

async function failure(reference: string, change: Parameters<typeof changed>[1] = {}): Promise<KvasirError> {
  return opened(reference, (files, container) => describeModel(files, changed(container, change))).then(
    () => expect.fail('it should have failed'),
    (error) => error,
  );
}

const llamaGguf = `${fixtures}tiny-llama-variants/f32.gguf`;

describe('good models', () => {
  test('the embedded models', async () => {
    const stories = await describeAt('stories-260k');
    expect(stories).toMatchObject({
      architecture: 'llama',
      storedDtype: 'F32',
      generationDefaults: { eosTokenIds: [1, 2], bosTokenId: 1 },
      tokenizerSource: { kind: 'tokenizer-json', embeddingRows: 512 },
    });
    expect(stories.tensors['lm_head.weight']).toBeUndefined();
    // Tied embedding once: 512 * 64 and 5 layers.
    const layer = 2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 172 * 64;
    expect(stories.parameters).toBe(512 * 64 + 5 * layer + 64);

    const sort = await describeAt('nano-gpt-sort');
    expect(sort.architecture).toBe('gpt2');
    expect(sort.generationDefaults).toEqual({ eosTokenIds: [] });
    expect(sort.tensors['layers.2.v.weight']).toEqual({
      name: 'transformer.h.2.attn.c_attn.weight',
      transposed: true,
      firstRow: 96,
    });
    expect(sort.tensors['layers.2.v.bias']).toEqual({
      name: 'transformer.h.2.attn.c_attn.bias',
      firstRow: 96,
    });
    expect(sort.tensors['lm_head.weight']).toBeDefined();
  });

  test('one model in every container and dtype gives one spec, up to how it rotates', async () => {
    const first = await describeAt(`${fixtures}tiny-llama-variants/f32`);
    for (const [name, dtype] of [
      ['f16', 'F16'],
      ['bf16', 'BF16'],
      ['sharded', 'F32'],
      ['f32.gguf', 'F32'],
      ['q8_0.gguf', 'Q8_0'],
      ['q4_1.gguf', 'Q4_1'],
    ]) {
      const other = await describeAt(`${fixtures}tiny-llama-variants/${name}`);
      const kind = name!.endsWith('.gguf') ? 'interleaved' : 'half';
      expect(other.spec).toMatchObject({
        ...first.spec,
        normEps: expect.closeTo(first.spec.normEps, 10),
        ropes: [{ ...first.spec.ropes![0], kind }],
      });
      expect(Object.keys(other.tensors).sort()).toEqual(Object.keys(first.tensors).sort());
      expect([other.parameters, other.storedDtype]).toEqual([first.parameters, dtype]);
    }
  });

  test('GPT-2 with and without the prefix, and from GGUF', async () => {
    const prefixed = await describeAt(`${fixtures}tiny-gpt2`);
    const bare = await opened(`${fixtures}tiny-gpt2`, (files, container) =>
      describeModel(
        files,
        changed(container, {
          tensors: (all) => all.map((t) => ({ ...t, name: t.name.replace('transformer.', '') })),
        }),
      ),
    );
    expect(bare.tensors['layers.0.q.weight']!.name).toBe('h.0.attn.c_attn.weight');
    expect(Object.keys(bare.tensors)).toEqual(Object.keys(prefixed.tensors));
    const gguf = await describeAt(`${fixtures}tiny-gpt2/tiny-gpt2-f32.gguf`);
    expect(gguf.tensors['layers.0.k.weight']!.transposed).toBeUndefined();
    expect(gguf.tokenizerSource.kind).toBe('gguf');
  });
});

describe('tensors that do not fit', () => {
  const both = [
    ['stories-260k', 'model.layers.3.mlp.up_proj.weight'],
    [llamaGguf, 'blk.1.ffn_up.weight'],
  ] as const;

  test.each(both)('%s without %s: MODEL_FORMAT names it', async (reference, name) => {
    const error = await failure(reference, {
      tensors: (all) => all.filter((tensor) => tensor.name !== name),
    });
    expect(error.code).toBe('MODEL_FORMAT');
    expect(error.message).toContain(name);
  });

  test.each(both)('%s with another shape of %s: MODEL_FORMAT names both shapes', async (reference, name) => {
    const error = await failure(reference, {
      tensors: (all) => all.map((tensor) => (tensor.name === name ? { ...tensor, shape: [3, 5] } : tensor)),
    });
    expect(error.code).toBe('MODEL_FORMAT');
    expect(error.message).toMatch(
      new RegExp(`'${name.replaceAll('.', '\\.')}' has 3 x 5 values, .* needs \\d+ x \\d+`),
    );
  });

  test('a long list of missing tensors is cut', async () => {
    const error = await failure('stories-260k', { tensors: () => [] });
    expect(error.message).toMatch(/and \d+ more/);
    expect(error.message.length).toBeLessThan(600);
  });

  test('a tensor that nobody would read is refused, for it would be missed', async () => {
    const extra = { name: 'blk.0.attn_q_norm.weight', dtype: 'F32', shape: [16], bytes: 64 };
    const error = await failure(llamaGguf, { tensors: (all) => [...all, extra] });
    expect(error).toMatchObject({
      code: 'UNSUPPORTED_ARCHITECTURE',
      message: expect.stringContaining(extra.name),
    });
  });

  test('precomputed tables of old checkpoints are passed over', async () => {
    const table = {
      name: 'model.layers.0.self_attn.rotary_emb.inv_freq',
      dtype: 'F32',
      shape: [4],
      bytes: 16,
    };
    const description = await opened('stories-260k', (files, container) =>
      describeModel(files, changed(container, { tensors: (all) => [...all, table] })),
    );
    expect(JSON.stringify(description.tensors)).not.toContain('inv_freq');
  });

  test('rotary factors kept in a tensor divide the frequencies', async () => {
    const factors = Float32Array.from([1, 1, 2, 4, 4, 8, 8, 8]);
    const entry = { name: 'rope_freqs.weight', dtype: 'F32', shape: [8], bytes: 32 };
    const frequencies = async (values?: Float32Array) => {
      const description = await opened(llamaGguf, (files, container) =>
        describeModel(
          files,
          values === undefined
            ? container
            : { ...changed(container, { tensors: (all) => [...all, entry] }), readTensor: () => values },
        ),
      );
      return description.spec.ropes![0]!.inverseFrequencies;
    };
    const plain = await frequencies();
    expect(plain).toHaveLength(8);
    expect(await frequencies(factors)).toEqual(
      plain.map((frequency, i) => Math.fround(frequency / factors[i]!)),
    );
    for (const wrong of [factors.slice(1), factors.map((factor, i) => (i === 3 ? 0 : factor))]) {
      await expect(frequencies(wrong)).rejects.toMatchObject({
        code: 'MODEL_FORMAT',
        message: expect.stringContaining('rope_freqs'),
      });
    }
  });
});

describe('metadata that does not fit', () => {
  test('more tokens than rows is MODEL_FORMAT with both numbers', async () => {
    const error = await failure(llamaGguf, {
      metadata: { 'tokenizer.ggml.tokens': { longArray: true, type: 'string', length: 5000 } },
    });
    expect(error).toMatchObject({ code: 'MODEL_FORMAT', details: { tokens: 5000, rows: 323 } });
  });

  test('no vocabulary, and an end token beyond the rows, are MODEL_FORMAT', async () => {
    expect((await failure(llamaGguf, { metadata: { 'tokenizer.ggml.tokens': [] } })).message).toMatch(
      /no vocabulary/,
    );
    expect((await failure(llamaGguf, { metadata: { 'tokenizer.ggml.eos_token_id': 323 } })).message).toMatch(
      /323/,
    );
  });
});

describe('folders that do not fit', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kvasir-formats-'));
    cpSync(`${fixtures}tiny-llama`, folder, { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const edit = (name: string, change: object): void => {
    const path = join(folder, name);
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }));
  };

  test.each([['{'], ['[]'], ['null'], ['']])('config.json with %j is MODEL_FORMAT', async (text) => {
    writeFileSync(join(folder, 'config.json'), text);
    const error = await failure(folder);
    expect(error.code).toBe('MODEL_FORMAT');
    expect(error.message).toContain('config.json');
  });

  test('a config of another size disagrees with the shapes', async () => {
    edit('config.json', { intermediate_size: 120 });
    expect(await failure(folder)).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/116.*120/),
    });
  });

  test('a vocabulary that disagrees with the embedding is named', async () => {
    edit('config.json', { vocab_size: 400 });
    expect(await failure(folder)).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringMatching(/323.*400/),
    });
  });

  test('what another tool has quantized is refused', async () => {
    edit('config.json', { quantization_config: { quant_method: 'gptq' } });
    expect((await failure(folder)).code).toBe('UNSUPPORTED_ARCHITECTURE');
  });

  test('no tokenizer.json is MODEL_FORMAT', async () => {
    rmSync(join(folder, 'tokenizer.json'));
    expect(await failure(folder)).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringContaining('tokenizer.json'),
    });
  });
});
