// `npm run gpu-check`, on a machine with an NVIDIA GPU and nvcc: builds, runs the CUDA tests of native_tests on the device,
// compares generation with the CPU's, runs the benchmarks, and writes build/gpu-check.json and build/gpu-check.md.
//   node scripts/gpu-check.mjs [--device cuda:0] [--model smollm2-135m] [--out build]
// Exit status 1 where there is no GPU, or where anything differs.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMain, run, runMain } from './command.mjs';
import { readManifest } from './cuda-code.mjs';
import { benchWorks, markdownOf, operationsPerToken, sharesOf } from './gpu-bench.mjs';
import { compareDevices } from './gpu-parity.mjs';
import { buildGpuPrograms } from './native-build.mjs';
import { projectRoot, setup } from './setup.mjs';
import { parseCounts } from './test.mjs';
import { findNvcc, SetupError } from './toolchain.mjs';

const root = projectRoot;
const say = (text) => process.stderr.write(`${text}\n`);
const cli = join(root, 'dist', 'cli', 'main.js');

/** The GPU of `device`, as native code describes it. Throws SetupError with the reason where there is none. */
async function findDevice(device) {
  const { native } = await import(join(root, 'dist', 'native.js'));
  const { chooseDevice } = await import(join(root, 'dist', 'device.js'));
  const report = await native().cuda(true);
  try {
    const { index } = await chooseDevice({ device }, async () => report);
    return { ...report.devices[index], driverVersion: report.driverVersion };
  } catch (error) {
    throw new SetupError(`There is no GPU to check: ${error.message}`);
  }
}

async function runKernelTests(device) {
  const target = 'native_tests_gpu';
  const { [target]: executable } = await buildGpuPrograms(root, readManifest(root), '', [target]);
  // The tests use CUDA's first device.
  const env = { ...process.env, CUDA_VISIBLE_DEVICES: process.env.CUDA_VISIBLE_DEVICES ?? `${device.index}` };
  const { status, output } = await run(executable, ['cuda_'], { cwd: root, env });
  const counts = parseCounts(output);
  const passed = status === 0 && counts !== undefined && counts.passed > 0 && counts.failed === 0;
  if (!passed) say(output.trimEnd());
  const detail = counts ? `${counts.passed} passed, ${counts.failed} failed` : `exit status ${status}`;
  return { name: 'kernels and whole models of native_tests, bit by bit', passed, detail };
}

/** The model of the benchmarks in the cache, else the embedded one. */
async function fetchModel(model) {
  const { status } = await run(process.execPath, [cli, 'pull', model], { cwd: root });
  if (status === 0) return model;
  say(
    `${model} cannot be fetched: the embedded stories-260k takes its place, which is far too small to load a GPU.`,
  );
  return 'stories-260k';
}

async function checkParity(model, device) {
  const { Model } = await import(join(root, 'dist', 'index.js'));
  const fixtures = join(root, 'test', 'fixtures');
  const tiny = ['tiny-llama', 'tiny-gpt2'].map((name) => ({ reference: join(fixtures, name), name }));
  const subjects = [
    { reference: 'stories-260k', name: 'stories-260k', promptTokens: 300, maxTokens: 100 },
    { reference: 'nano-gpt-sort', name: 'nano-gpt-sort', promptTokens: 6, maxTokens: 4 },
    ...tiny.map((one) => ({ ...one, promptTokens: 16, maxTokens: 12 })),
  ];
  if (model !== 'stories-260k')
    subjects.push({ reference: model, name: model, promptTokens: 700, maxTokens: 64 });
  const verdicts = [];
  for (const subject of subjects) {
    say(`  ${subject.name} on the CPU and on ${device}`);
    for await (const verdict of compareDevices(Model, subject, device)) verdicts.push(verdict);
  }
  return verdicts;
}

async function countOperations(model, device) {
  const { loadModel } = await import(join(root, 'dist', 'load.js'));
  const loaded = await loadModel(model, { device });
  const operations = operationsPerToken(loaded.native.info.linears);
  const { contextLength } = loaded.info;
  await loaded.native.dispose();
  await loaded.tokenizer.dispose();
  return { operations, contextLength };
}

async function runBenchmarks(model, device) {
  const name = `cuda:${device.index}`;
  const { operations, contextLength } = await countOperations(model, name);
  const fits = ({ prefill, depth, tokens }) =>
    Math.max(prefill, Math.max(1, depth) + tokens) <= contextLength;
  const measured = [];
  for (const dtype of ['int8', 'fp32']) {
    for (const work of benchWorks.filter(fits)) {
      say(`  ${model}, ${dtype}, batch ${work.batch}, depth ${work.depth}`);
      const flags = [
        `-p${work.prefill}`,
        `-n${work.tokens}`,
        '--depth',
        `${work.depth}`,
        '-b',
        `${work.batch}`,
      ];
      const args = [cli, 'bench', model, '--device', name, '--dtype', dtype, ...flags, '--json'];
      const report = JSON.parse(execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' }));
      measured.push({ ...report, shares: sharesOf(report, device, operations) });
    }
  }
  return measured;
}

function commitOf() {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], { cwd: root, encoding: 'utf8' }).trim();
  } catch {
    return 'no commit';
  }
}

async function main() {
  const options = { device: { type: 'string' }, model: { type: 'string' }, out: { type: 'string' } };
  const {
    device: wanted = 'cuda',
    model = 'smollm2-135m',
    out = join(root, 'build'),
  } = parseArgs({ options }).values;
  if (!findNvcc() && !existsSync(join(root, 'build/Release/kvasir_cuda.so'))) {
    throw new SetupError(
      'There is no nvcc to build the CUDA library with: install the CUDA toolkit, or set CUDA_HOME.',
    );
  }
  say('Building');
  await setup({ testing: true });
  const { driverVersion, ...device } = await findDevice(wanted);
  say(`Checking ${device.name} (cuda:${device.index}, ${device.architecture})`);
  const parity = [await runKernelTests(device)];
  const chosen = await fetchModel(model);
  parity.push(...(await checkParity(chosen, `cuda:${device.index}`)));
  say('Measuring');
  const benchmarks = await runBenchmarks(chosen, device);
  const kvasir = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
  const report = {
    date: new Date().toISOString(),
    kvasir,
    commit: commitOf(),
    device,
    driverVersion,
    parity,
    benchmarks,
  };
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, 'gpu-check.json'), `${JSON.stringify(report, null, 2)}\n`);
  const text = markdownOf(report);
  writeFileSync(join(out, 'gpu-check.md'), text);
  process.stdout.write(text);
  return parity.every(({ passed }) => passed) ? 0 : 1;
}

if (isMain(import.meta.url)) await runMain(main);
