/** Sessions in files on the emulated GPU, whole and beside the CPU: they go on as those that were never away. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { type LoadOptions, Model } from '../../lib/index.js';
import { useEmulatedGpu } from './emulated-gpu.js';
import { fixtures } from './golden.js';

useEmulatedGpu();

const folder = mkdtempSync(join(tmpdir(), 'kvasir-sessions-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = `${fixtures}tiny-llama`;
const options = { maxTokens: 8, temperature: 0, ignoreEos: true, logprobs: 2 };

it.each([
  ['int8', 'auto'],
  ['fp32', 1],
] as const)('%s, layers on the GPU: %s', async (dtype, gpuLayers) => {
  const load: LoadOptions = { device: 'cuda', gpuLayers, dtype, kvDtype: dtype, threads: 2 };
  const [saving, restoring] = [await Model.load(path, load), await Model.load(path, load)];
  const session = saving.createSession();
  const first = await session.send('a b c d e f g h '.repeat(6), options);
  const file = join(folder, `${dtype}.session`);
  await session.save(file);
  const restored = await restoring.restoreSession(file);
  const next = await session.send('i j', options);
  const again = await restored.send('i j', options);
  expect(again.tokens).toEqual(next.tokens);
  expect(again.logprobs).toEqual(next.logprobs);
  expect(again.usage).toEqual(next.usage);
  expect(again.usage.cachedTokens).toBeGreaterThanOrEqual(first.usage.promptTokens);
  const cpu = await Model.load(path, { ...load, device: 'cpu', gpuLayers: undefined });
  const refused = { code: 'INVALID_OPTION', message: expect.stringMatching(/weights|gpuLayers/) };
  await expect(cpu.restoreSession(file)).rejects.toMatchObject(refused);
  await Promise.all([saving, restoring, cpu].map((model) => model.dispose()));
});
