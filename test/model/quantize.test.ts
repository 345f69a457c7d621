/** `kvasir quantize`: the folder it writes is the same model, and what is wrong with it, or in the way, is said. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import { type QuantizeOptions, quantizeModel } from '../../lib/quantize.js';
import type { TokenizerSource } from '../../lib/tokenizer/source.js';
import { Tokenizer } from '../../lib/tokenizer/tokenizer.js';
import { command, kvasir } from '../cli/cli-command.js';
import { expectSameBits, fixtures } from './golden.js';
import type { ModelSpec } from '../../lib/spec.js';
import { type Described, describeAt, joined, kernels, logitsOf, withModel } from './native-model.js';
import { needsSmollm2, smollm2 } from './smollm2-model.js';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kvasir-quantize-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let folders = 0;
/** A path in the scratch folder where nothing is yet. */
const fresh = () => join(scratch, String(folders++));

async function quantized(reference: string, options?: QuantizeOptions): Promise<string> {
  return (await quantizeModel(reference, fresh(), options)).folder;
}

function promptOf({ spec }: Described, length: number): number[] {
  return Array.from({ length }, (_, i) => (i * 31 + 7) % spec.vocabSize);
}

async function int8Logits(model: Described, isa?: string): Promise<Float32Array> {
  const contextLength = Math.min(64, model.spec.maxPositions);
  return withModel(model, { dtype: 'int8', isa, contextLength }, async (loaded) =>
    joined(await logitsOf(loaded, promptOf(model, Math.min(40, contextLength)))),
  );
}

/** Ids, texts and templates that two tokenizers give. */
async function behaviour(source: TokenizerSource): Promise<unknown> {
  const tokenizer = await Tokenizer.load(source);
  const texts = [
    '',
    ' ',
    'Once upon a time, there was 1 Lily.',
    'na\u00efve \u{1f600}\n\n\tx',
    '<|im_start|>a</s>',
  ];
  const messages = [
    { role: 'system', content: 'Be <|im_end|> brief.' },
    { role: 'user', content: 'Hi' },
  ];
  try {
    const ids = await Promise.all(texts.map((text) => tokenizer.encodeAsync(text)));
    return {
      ids,
      texts: ids.map((some) => tokenizer.decode(some, { skipSpecialTokens: false })),
      spellings: Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenText(id)).join('\n'),
      special: [tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.endTokenIds, tokenizer.vocabSize],
      template: tokenizer.chatTemplate,
      chat: tokenizer.chatTemplate && (await tokenizer.encodeChat(messages)),
    };
  } finally {
    await tokenizer.dispose();
  }
}

const sources: [name: string, reference: string][] = [
  ['stories-260k', 'stories-260k'],
  ['nano-gpt-sort', 'nano-gpt-sort'],
  ['tiny-llama in BF16', `${fixtures}tiny-llama-variants/bf16`],
  ['tiny-llama as GGUF Q8_0', `${fixtures}tiny-llama-variants/q8_0.gguf`],
  ['tiny-gpt2 with transposed linears', `${fixtures}tiny-gpt2`],
  ['tiny-gpt2 as GGUF', `${fixtures}tiny-gpt2/tiny-gpt2-f32.gguf`],
  ['gpt-oss, experts with biases', `${fixtures}families/gpt_oss`],
  ['Mixtral as GGUF', `${fixtures}families/mixtral/mixtral.gguf`],
  ...(smollm2 === undefined ? [] : ([['smollm2-135m', smollm2.paths[0]!]] as [string, string][])),
];

describe.each(sources)(`the INT8 form of %s${needsSmollm2}`, (name, reference) => {
  const isLarge = name === 'smollm2-135m';
  let source: Described;
  let stored: Described;
  beforeAll(async () => {
    source = await describeAt(reference);
    stored = await describeAt(await quantized(reference));
  }, 120_000);

  it('is described as its source', () => {
    expect(stored.spec).toEqual(source.spec);
    expect(stored.generationDefaults).toEqual(source.generationDefaults);
    expect(stored.architecture).toBe(source.architecture);
    expect(stored.parameters).toBe(source.parameters);
    expect(stored.storedDtype).toBe('INT8');
    expect(stored.int8Origin!.sourceDtype).toBe(source.storedDtype);
  });

  // Written by the best table, read by each.
  it.each(isLarge ? kernels.slice(-1) : kernels)(
    'gives the logits of quantizing at load, bit for bit, on %s',
    async (isa) => {
      const expected = await int8Logits(source, isa);
      expectSameBits(await int8Logits(stored, isa), expected, isa);
      expect(expected.some((logit) => logit !== 0)).toBe(true);
    },
    120_000,
  );

  it('tokenizes, decodes and renders chats as its source', async () => {
    expect(await behaviour(stored.tokenizerSource)).toEqual(await behaviour(source.tokenizerSource));
  }, 60_000);
});

it('loads and generates, and says what it is', async () => {
  const folder = await quantized('stories-260k');
  const options = { maxTokens: 20, temperature: 0 };
  const texts: string[] = [];
  for (const reference of ['stories-260k', folder]) {
    const model = await Model.load(reference);
    texts.push((await model.generate('Once upon a time', options)).text);
    if (reference === folder) expect(model.info).toMatchObject({ storedDtype: 'INT8', dtype: 'int8' });
    await model.dispose();
  }
  expect(texts[1]).toBe(texts[0]);
  await expect(Model.load(folder, { dtype: 'fp32' })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    message: expect.stringMatching(/dtype is 'fp32'.*INT8 form of stories-260k.*load stories-260k/),
  });
});

describe('what the metadata may not say', () => {
  /** The weights of stories-260k with a changed header. */
  async function withHeader(change: (metadata: Record<string, string>) => void): Promise<string> {
    const folder = await quantized('stories-260k');
    const path = join(folder, 'model.safetensors');
    const bytes = readFileSync(path);
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
    change(header.__metadata__);
    const json = Buffer.from(JSON.stringify(header));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(json.length));
    writeFileSync(path, Buffer.concat([size, json, bytes.subarray(8 + length)]));
    return folder;
  }
  const rope = (spec: Partial<ModelSpec>) => spec.ropes![0]!;
  const spec = (change: (spec: Partial<ModelSpec>) => void) => (metadata: Record<string, string>) => {
    const parsed = JSON.parse(metadata.spec!);
    change(parsed);
    metadata.spec = JSON.stringify(parsed);
  };

  it.each<[string, (metadata: Record<string, string>) => void, RegExp]>([
    ['no spec', (m) => delete m.spec, /"spec"/],
    ['no source', (m) => delete m.source, /"source"/],
    ['a spec that is no JSON', (m) => Object.assign(m, { spec: '{' }), /spec.*not valid JSON/],
    ['a spec without a field', spec((s) => delete s.hiddenSize), /hiddenSize/],
    ['a spec with a field of later days', spec((s) => Object.assign(s, { twoFaced: true })), /twoFaced/],
    ['a hostile size', spec((s) => Object.assign(s, { vocabSize: 1e9 })), /vocabSize/],
    [
      'a frequency that is no number',
      spec((s) => Object.assign(rope(s), { inverseFrequencies: ['x'] })),
      /rope/,
    ],
    ['more frequencies than dimensions', spec((s) => rope(s).inverseFrequencies.push(1, 1)), /frequencies/],
    ['another width', spec((s) => Object.assign(s.feedForwards![0]!, { size: 300 })), /needs U8 \[\d+, /],
    ['a later version', (m) => Object.assign(m, { version: '3' }), /'version' is '3'/],
    ['an earlier version', (m) => Object.assign(m, { version: '1' }), /'version' is '1'/],
    [
      'a wrong checksum',
      (m) => Object.assign(m, { 'checksum.final_norm.weight': '0' }),
      /final_norm.weight.*damaged/,
    ],
    ['another family', (m) => Object.assign(m, { architecture: 'gpt2' }), /model_type "llama".*gpt2/],
  ])('%s: MODEL_FORMAT', async (_, change, message) => {
    const error = await Model.load(await withHeader(change)).then(
      () => expect.fail('it loaded'),
      (failure) => failure,
    );
    expect(error).toMatchObject({ code: 'MODEL_FORMAT' });
    expect(error.message).toMatch(message);
  });

  it('unchanged, the same rewriting loads', async () => {
    const model = await Model.load(await withHeader(() => {}));
    await model.dispose();
  });
});

describe('where it cannot be written', () => {
  it('a folder with something in it, and a file, are INVALID_OPTION and stay as they are', async () => {
    const folder = fresh();
    mkdirSync(folder);
    writeFileSync(join(folder, 'mine'), 'x');
    for (const out of [folder, join(folder, 'mine')]) {
      await expect(quantizeModel('stories-260k', out)).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('empty or does not exist'),
      });
    }
    expect(readFileSync(join(folder, 'mine'), 'utf8')).toBe('x');
  });

  it('an empty folder, and one in folders that are not there, are fine', async () => {
    const folder = fresh();
    mkdirSync(folder);
    await quantizeModel('stories-260k', folder);
    const deep = join(fresh(), 'a', 'b');
    const { files } = await quantizeModel('stories-260k', deep);
    expect(files.map(({ path }) => path)).toEqual(
      readdirSync(deep)
        .sort()
        .map((name) => join(deep, name)),
    );
  });

  it('an INT8 form is not quantized again', async () => {
    const folder = await quantized('stories-260k');
    await expect(quantizeModel(folder, fresh())).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('INT8 form already'),
    });
  });

  it.skipIf(smollm2 === undefined)('an abort leaves nothing behind', async () => {
    const out = join(fresh(), 'out');
    const controller = new AbortController();
    const running = quantizeModel(smollm2!.paths[0]!, out, {
      signal: controller.signal,
      onProgress: ({ phase, loaded }) => phase === 'quantize' && loaded > 0 && controller.abort('enough'),
    });
    await expect(running).rejects.toBe('enough');
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(join(out, '..'))).toEqual([]);
  });

  it.skipIf(process.platform !== 'linux')(
    'a full disk is INVALID_OPTION and leaves nothing behind',
    async () => {
      const out = join(fresh(), 'out');
      // 64 blocks of 512 bytes (dash) or 1 KB (bash): less than the weights, more than the JSON files.
      const limited = `ulimit -f 64; exec '${process.execPath}' '${command}' quantize stories-260k '${out}'`;
      const error = await promisify(execFile)('sh', ['-c', limited]).then(
        () => expect.fail('it was written'),
        (failure) => failure,
      );
      expect(error.code).toBe(1);
      expect(error.stderr).toMatch(/cannot be written.*Make room.*\[INVALID_OPTION\]/);
      expect(readdirSync(join(out, '..'))).toEqual([]);
    },
  );
});

describe('kvasir quantize', () => {
  it('prints the folder, and one object with --json; info tells the form', async () => {
    const out = fresh();
    const first = await kvasir(['quantize', 'stories-260k', out]);
    expect(first).toMatchObject({ status: 0, stdout: `${out}\n` });
    expect(first.stderr).toMatch(/1\.0 MB of F32 weights became \d+\.\d kB of INT8/);
    const again = await kvasir(['quantize', 'stories-260k', fresh(), '--json', '--threads', '1']);
    const report = JSON.parse(again.stdout);
    expect(report).toMatchObject({ model: 'stories-260k', sourceDtype: 'F32' });
    expect(report.files.length).toBe(6);

    const info = JSON.parse((await kvasir(['info', out, '--json'])).stdout);
    expect(info.int8).toEqual({
      source: 'stories-260k',
      sourceDtype: 'F32',
      version: 2,
      rotation: 'hadamard-64',
      groupSize: 64,
      scaleDtype: 'F16',
      panelColumns: 32,
    });
    expect(info.memory.fp32).toBeUndefined();
    expect(info.memory.int8.weights).toBeGreaterThan(0);
    expect((await kvasir(['info', out])).stdout).toMatch(/INT8 form +of stories-260k \(F32\): groups of 64/);
  });

  it('wants both arguments, and the flag as the user wrote it', async () => {
    expect((await kvasir(['quantize', 'stories-260k'])).status).toBe(2);
    const folder = await quantized('stories-260k');
    const fp32 = await kvasir(['run', folder, 'Once', '--dtype', 'fp32']);
    expect(fp32.stderr).toMatch(/--dtype is 'fp32'.*\[INVALID_OPTION\]/);
  });
});
