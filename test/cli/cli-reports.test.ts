import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fixtures } from '../model/golden.js';
import { hasTerminal, kvasir, type Outcome, start, startAtTerminal } from './cli-command.js';
import { CHECKPOINT_PAGES, WINDOW_PAGES, windowedFolder } from '../model/windowed-folder.js';
import { cutAfter, FakeHub, sha256 } from '../product/hub-fake.js';

function objectOf<T>({ status, stdout }: Outcome, expectedStatus = 0): T {
  expect(status).toBe(expectedStatus);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(stdout) as T;
}

interface Bench {
  prefill: { tokens: number; tokensPerSecond: number; samples: number[] };
  decode: {
    tokens: number;
    depth: number;
    batch: number;
    bytesPerToken: { weights: number; scales: number; kv: number };
    tokensPerSecond: number;
    samples: number[];
  };
  threads: number;
  [field: string]: unknown;
}

describe('bench', () => {
  const quick = ['bench', 'stories-260k', '-p', '32', '-n', '16', '-r', '3'];
  const bench = async (...flags: string[]) => objectOf<Bench>(await kvasir([...quick, '--json', ...flags]));

  it('prints the object of the interface, with medians', async () => {
    const report = await bench('--threads', '1');
    expect(Object.keys(report)).toEqual([
      'model',
      'dtype',
      'device',
      'kernels',
      'threads',
      'loadMs',
      'rssBytes',
      'prefill',
      'decode',
    ]);
    expect(report).toMatchObject({ model: 'stories-260k', dtype: 'int8', device: 'cpu', threads: 1 });
    expect(Object.keys(report.prefill)).toEqual(['tokens', 'tokensPerSecond', 'samples']);
    expect(Object.keys(report.decode)).toEqual([
      'tokens',
      'depth',
      'batch',
      'bytesPerToken',
      'tokensPerSecond',
      'samples',
    ]);
    expect(report.prefill.tokens).toBe(32);
    expect(report.decode).toMatchObject({ tokens: 16, depth: 0, batch: 1 });
    for (const { samples, tokensPerSecond } of [report.prefill, report.decode]) {
      expect(samples).toHaveLength(3);
      expect(Math.min(...samples)).toBeGreaterThan(0);
      expect(tokensPerSecond).toBe([...samples].sort((a, b) => a - b)[1]);
    }
  });

  it('counts the bytes of a decoded token', async () => {
    const { decode } = await bench();
    const fp32 = (await bench('--dtype', 'fp32')).decode;
    const weights = 512 * 64 + 5 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 172);
    // INT8: a byte a value, inner sizes padded to 64 and outer ones to 32 (gate and up are one); 11 norms in FP32.
    const padded = 512 * 64 + 5 * (128 * 64 + 64 * 64 + 352 * 64 + 64 * 192);
    expect(decode.bytesPerToken.weights / (padded + 11 * 64 * 4)).toBeCloseTo(1, 2);
    expect(decode.bytesPerToken.scales / (padded / 32)).toBeCloseTo(1, 1);
    expect(fp32.bytesPerToken.scales).toBe(0);
    expect(fp32.bytesPerToken.weights / (4 * weights)).toBeCloseTo(1, 1);
    // FP32 keys and values of 5 layers, 4 heads of 8, at 1 + (1 + 16) / 2 positions on average.
    expect(fp32.bytesPerToken.kv).toBeGreaterThanOrEqual(5 * 2 * 4 * 8 * 4 * 9.5);
    const deep = (await bench('--depth', '100')).decode;
    expect(deep.depth).toBe(100);
    expect(deep.bytesPerToken.kv / decode.bytesPerToken.kv).toBeCloseTo((100 + 8.5) / (1 + 8.5), 1);
  });

  // A machine that is disturbed during one of the two runs gets another chance.
  it('adds up the sequences of a batch, which share the weights', { retry: 2 }, async () => {
    const [one, eight] = [await bench(), await bench('--batch', '8')];
    expect(eight.decode.batch).toBe(8);
    expect(eight.decode.bytesPerToken.weights / one.decode.bytesPerToken.weights).toBeCloseTo(1 / 8, 2);
    expect(eight.decode.bytesPerToken.kv).toBe(one.decode.bytesPerToken.kv);
    expect(eight.decode.tokensPerSecond).toBeGreaterThan(1.5 * one.decode.tokensPerSecond);
  });

  it('fills a context to its end, and reads two tables only once each where they are not one', async () => {
    await bench('-p', '512', '-n', '12', '--depth', '500', '-r', '1');
    const nano = ['bench', 'nano-gpt-sort', '-p', '11', '-n', '1', '-r', '1', '--dtype', 'fp32', '--json'];
    const report = objectOf<Bench>(await kvasir(nano));
    const info = objectOf<{ memory: { fp32: { weights: number } } }>(
      await kvasir(['info', 'nano-gpt-sort', '--json']),
    );
    // [3, 48] rows padded to 32, and [11, 48] positions; each may lie on a boundary of its own.
    const unread = info.memory.fp32.weights - report.decode.bytesPerToken.weights;
    expect(Math.abs(unread - 4 * (32 * 48 + 11 * 48))).toBeLessThanOrEqual(128);
    expect(report.decode.tokensPerSecond).toBeGreaterThan(0);
  });

  it('prints a table for people', async () => {
    const { status, stdout } = await kvasir(quick);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^prefill +32 +0 +[\d.]+ +[\d.]+ +[\d.]+$/m);
    expect(stdout).toMatch(/^decode +16 +0 +[\d.]+ +[\d.]+ +[\d.]+$/m);
  });

  it.skipIf(!hasTerminal)('counts its samples on a terminal, and ends with 130 at Ctrl-C', async () => {
    const running = startAtTerminal(['bench', 'stories-260k', '-r', '10000', '--json']);
    await running.until(({ stdout }) => /measuring .* [1-9]\d* of 20002/.test(stdout));
    running.child.stdin.write('\u0003');
    const { status, stdout } = await running.end();
    expect(status).toBe(130);
    expect(stdout).not.toContain('{');
  });
});

describe('info', () => {
  it('describes the file, its memory and what will run it', async () => {
    const report = objectOf<Record<string, never>>(
      await kvasir(['info', 'stories-260k', '--json', '--threads', '1', '-c', '256']),
    );
    expect(report).toMatchObject({
      ...{ model: 'stories-260k', format: 'safetensors', architecture: 'llama', storedDtype: 'F32' },
      ...{ layers: 5, heads: 8, kvHeads: 4, headDim: 8, hiddenSize: 64, ffnSize: 172 },
      ...{ maxPositions: 512, vocabSize: 512, parameters: 260_032 },
      layerKinds: [{ layers: 5, ffnSize: 172 }],
      activeParameters: 260_032,
      tensors: [{ dtype: 'F32', tensors: 47, bytes: 4 * 260_032 }],
      engine: { device: 'cpu', threads: 1 },
      memory: { contextLength: 256 },
    });
    const { int8, fp32 } = report.memory as Record<string, Record<string, number>>;
    for (const sum of [int8!, fp32!]) expect(sum.total).toBe(sum.weights! + sum.kv! + sum.scratch!);
    expect(fp32!.weights).toBeGreaterThan(4 * 260_032 - 1);
    expect(int8!.weights! / fp32!.weights!).toBeLessThan(0.3);
    for (const { path, bytes } of report.files as { path: string; bytes: number }[]) {
      expect(statSync(path).size).toBe(bytes);
    }
  });

  it('says of an encoder that it is one', async () => {
    const { stdout } = await kvasir(['info', join(fixtures, 'encoders', 'bert')]);
    expect(stdout).toMatch(/bert, an encoder, 0\.02 M parameters/);
  });

  it('tells kinds of layers apart, and predicts the memory of experts, from headers alone', async () => {
    const folder = join(fixtures, 'families', 'glm4_moe');
    const report = objectOf<{
      layerKinds: object[];
      memory: { fp32: { weights: number } };
      parameters: number;
      activeParameters: number;
    }>(await kvasir(['info', folder, '--json']));
    expect(report).toMatchObject({
      architecture: 'glm4_moe',
      layerKinds: [
        { layers: 1, ffnSize: 20 },
        { layers: 2, ffnSize: 12, experts: { count: 6, used: 2, sharedSize: 24 } },
      ],
    });
    expect(report.memory.fp32.weights).toBeGreaterThan(4 * report.parameters);
    // In two layers, four experts of three matrices.
    expect(report.parameters - report.activeParameters).toBe(2 * 4 * 3 * 12 * 32);
    const { stdout } = await kvasir(['info', join(fixtures, 'families', 'gpt_oss', 'gpt_oss.gguf')]);
    expect(stdout).toMatch(/gpt_oss, 0\.0\d M parameters, 0\.0\d M of them for a token/);
    expect(stdout).toContain('2 with a window of 20 positions, 2 of 6 experts of 12');
    expect(stdout).toContain('1 with all positions, 2 of 6 experts of 12');
  });

  it('says what layers with a window hold', async () => {
    const folder = windowedFolder();
    try {
      const { memory } = objectOf<{ memory: { int8: Record<string, number> } }>(
        await kvasir(['info', folder, '--json', '-c', '8192']),
      );
      // Two of three layers. K and V of 64 positions, 2 heads of 12 padded to 16, with a scale each.
      const layerPage = 2 * 64 * 2 * (16 + 4);
      expect(memory.int8.kv).toBe(layerPage * (128 + 2 * (WINDOW_PAGES + CHECKPOINT_PAGES)));
      expect(memory.int8.checkpoints).toBe(layerPage * 2 * CHECKPOINT_PAGES);
      const { stdout } = await kvasir(['info', folder, '-c', '8192']);
      expect(stdout).toContain('20 % of the KV cache are for checkpoints of prompts');
      expect((await kvasir(['info', folder, '-c', '1024'])).stdout).not.toContain('checkpoints');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('prints the same for people', async () => {
    const { status, stdout, stderr } = await kvasir(['info', 'nano-gpt-sort']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const part of ['gpt2', 'model.safetensors', 'INT8', 'FP32', 'kernels', '11 positions']) {
      expect(stdout).toContain(part);
    }
  });
});

describe('doctor', () => {
  interface Doctor {
    cpu: { compiled: string[]; available: string[]; selected?: string; brand: string; cores: number };
    gpu: { used: boolean; reason: string };
    models: { alias: string; present: boolean; root?: string }[];
    cache: { folder: string };
    problems: string[];
    node: string;
  }

  it('reports the CPU, the GPU, the build, the cache and the models', async () => {
    const home = mkdtempSync(join(tmpdir(), 'kvasir-cli-doctor-'));
    // A report fetches nothing, not even where it could.
    const env = {
      HF_HOME: home,
      HF_HUB_CACHE: '',
      HUGGINGFACE_HUB_CACHE: '',
      HF_ENDPOINT: 'http://127.0.0.1:9',
    };
    const report = objectOf<Doctor>(await kvasir(['doctor', '--json'], { env }));
    expect(readdirSync(home)).toEqual([]);
    rmSync(home, { recursive: true, force: true });
    expect(report.node).toBe(process.version);
    expect(report.cpu.brand).not.toBe('');
    expect(report.cpu.compiled).toEqual(expect.arrayContaining(report.cpu.available));
    expect(report.cpu.available).toContain('scalar');
    expect(report.cpu.selected).toBe(report.cpu.available.at(-1));
    expect(report.gpu.used).toBe(false);
    expect(report.gpu.reason).not.toBe('');
    expect(report.cache.folder).toBe(join(home, 'hub'));
    const present = report.models.filter((model) => model.present).map(({ alias }) => alias);
    expect(present).toEqual(['stories-260k', 'nano-gpt-sort']);
    expect(report.models.map(({ alias }) => alias)).toContain('smollm2-135m');
    expect(report.problems).toEqual([]);
  });

  it('names a problem and fails with it', async () => {
    const env = { KVASIR_CPU_ISA: 'sse9' };
    const report = objectOf<Doctor>(await kvasir(['doctor', '--json'], { env }), 1);
    expect(report.problems).toHaveLength(1);
    expect(report.problems[0]).toContain("KVASIR_CPU_ISA is 'sse9'");
    const { status, stdout } = await kvasir(['doctor'], { env });
    expect(status).toBe(1);
    expect(stdout).toMatch(/^problem +KVASIR_CPU_ISA is 'sse9'/m);
    expect(stdout).toMatch(/^GPU +not used: /m);
  });
});

describe('pull', () => {
  let hub: FakeHub;
  let home: string;
  let env: NodeJS.ProcessEnv;

  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'kvasir-cli-pull-'));
    hub = new FakeHub();
    await hub.start();
    hub.files.set('config.json', { content: Buffer.from('{"model_type":"llama"}') });
    hub.files.set('tokenizer.json', { content: Buffer.from('{}') });
    hub.files.set('model.safetensors', { content: Buffer.alloc(300_000, 'weights '), lfs: true });
    const none = { HF_HUB_CACHE: '', HUGGINGFACE_HUB_CACHE: '', HF_TOKEN: '', HF_HUB_OFFLINE: '' };
    env = { ...none, HF_HOME: home, HF_ENDPOINT: hub.url };
  });

  afterEach(async () => {
    await hub.stop();
    rmSync(home, { recursive: true, force: true });
  });

  it('prints the paths, says what it fetched, and fetches nothing twice', async () => {
    const { status, stdout, stderr } = await kvasir(['pull', 'hf:org/name'], { env });
    expect(status).toBe(0);
    const paths = stdout.trimEnd().split('\n');
    expect(paths.map((path) => path.split('/').at(-1))).toEqual([
      'config.json',
      'tokenizer.json',
      'model.safetensors',
    ]);
    for (const path of paths) expect(existsSync(path)).toBe(true);
    expect(stderr).toContain('downloading model.safetensors');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a progress bar draws with
    expect(stderr).not.toMatch(/[\r\u001b]/);
    const again = objectOf<object>(await kvasir(['pull', 'hf:org/name', '--json'], { env }));
    expect(again).toMatchObject({ model: 'org/name', origin: 'cache', downloadedBytes: 0, files: paths });
  });

  it('leaves at Ctrl-C with 130 and goes on from there the next time', async () => {
    const half = 150_000;
    hub.onFile = (request) => {
      if (request.name !== 'model.safetensors' || request.attempt > 1) return request.serve();
      const { response, file } = request;
      response.writeHead(200, { 'content-length': file.content.length, etag: `"${sha256(file.content)}"` });
      response.write(file.content.subarray(0, half));
      return undefined;
    };
    const running = start(['pull', 'hf:org/name'], env);
    await running.until(({ stderr }) => stderr.includes('downloading model.safetensors'));
    await expect.poll(() => sizesUnder(home).includes(half), { timeout: 10_000 }).toBe(true);
    running.child.kill('SIGINT');
    const { status, stdout, stderr } = await running.end();
    expect({ status, stdout }).toEqual({ status: 130, stdout: '' });
    expect(stderr).not.toContain('error');
    expect((await kvasir(['pull', 'hf:org/name'], { env })).status).toBe(0);
    expect(hub.fileRequests('model.safetensors').at(-1)?.range).toBe(`bytes=${half}-`);
  });

  it('fails in one line when the hub cuts every connection', async () => {
    hub.onFile = (request) => cutAfter(request, 0);
    const { status, stdout, stderr } = await kvasir(['pull', 'hf:org/name'], { env });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^error: .* \[DOWNLOAD\]$/);
    expect(stderr).not.toMatch(/^ +at /m);
  });
});

function sizesUnder(folder: string): number[] {
  const entries = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return entries.map((name) => statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
}
