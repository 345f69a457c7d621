// Parts 5 and 6: a model's shape with random weights, made here: prefill, decode, depth and batches as shares of the measured
// ceilings, with PyTorch in FP16 beside it.
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { kvBytes, shapes, writeModel } from './model-shape.mjs';
import { readCeilings } from './part-device.mjs';
import { findTorch, outerEnvironment, runProgram } from './programs.mjs';
import { floorOf, timeDecode, timePrefill, workOf } from './steps.mjs';

const real = {
  prefill: [512, 4096],
  decode: [0, 4096].flatMap((depth) => [1, 8, 32, 128].map((batch) => ({ depth, batch }))),
  steps: 32,
};
const tiny = {
  prefill: [8, 24],
  decode: [0, 24].flatMap((depth) => [1, 3].map((batch) => ({ depth, batch }))),
  steps: 2,
};

/** Where a file of some GB goes: memory, where there is room for it, else beside the results. */
function folderFor(bytes, out) {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    if (bavail * bsize > 2 * bytes) return '/dev/shm';
  } catch {
    // There is no such file system.
  }
  return out;
}

export async function loadShape({ app, out }, shape, positions) {
  const bytes = 1.1 * shape.layers * shape.width * (4 * shape.width + 3 * shape.feedForward);
  const folder = join(
    folderFor(bytes + 2.2 * shape.vocabulary * shape.width, out),
    `kvasir-kit-${process.pid}`,
  );
  mkdirSync(folder, { recursive: true });
  try {
    const path = join(folder, 'random.gguf');
    const begun = performance.now();
    writeModel(path, shape);
    const written = performance.now();
    const { loadModel } = await import(`${app}dist/load.js`);
    const options = {
      device: 'cuda',
      contextLength: Math.min(shape.context, positions),
      kvCapacity: positions,
    };
    const loaded = await loadModel(path, options);
    return { loaded, madeMs: written - begun, loadedMs: performance.now() - written };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const share = (floor, seconds) =>
  floor === undefined
    ? 'no ceiling was measured'
    : `${((100 * floor.seconds) / seconds).toFixed(1)} % of ${floor.of}`;

async function freeMemory(app) {
  const { native } = await import(`${app}dist/native.js`);
  const report = await native().cuda(true);
  return report.devices.find(({ problem }) => problem === undefined)?.freeMemory ?? 0;
}

/** Positions of the cache: for all that is measured, or for what half of the free memory holds. */
function positionsFor(shape, work, free) {
  const round = (n) => Math.ceil(n / 256) * 256;
  const wanted = work.decode.map(({ depth, batch }) => batch * round(depth + work.steps + 8));
  const most = Math.floor(free / 2 / kvBytes(shape) / 256) * 256;
  return Math.max(round(Math.max(...work.prefill)), Math.min(Math.max(...wanted), most));
}

export async function measureShape(setting, name) {
  const { app, say, out, isTiny, left } = setting;
  const work = isTiny ? tiny : real;
  const shape = shapes[name];
  const positions = positionsFor(shape, work, await freeMemory(app));
  const { loaded, madeMs, loadedMs } = await loadShape(setting, shape, positions);
  const { native, tokenizer } = loaded;
  const times = `made in ${(madeMs / 1000).toFixed(1)} s, loaded in ${(loadedMs / 1000).toFixed(1)} s`;
  const onGpu = `${native.info.gpuLayers} of ${shape.layers} layers on the GPU`;
  say({ name: 'load', passed: native.info.gpuLayers === shape.layers, text: `${times}, ${onGpu}` });
  const ceilings = readCeilings(out);
  const least = workOf({ linears: native.info.linears, kv: kvBytes(shape) });
  try {
    for (const tokens of work.prefill) {
      const { seconds, samples } = await timePrefill(native, tokens, 3);
      const text = `${Math.round(tokens / seconds)} tokens/s, ${share(floorOf(least.prefill(tokens), ceilings), seconds)}`;
      say({ name: `prefill ${tokens}`, tokens, seconds, samples, text });
    }
    for (const { depth, batch } of work.decode) {
      const title = `decode, depth ${depth}, batch ${batch}`;
      if (batch * (depth + work.steps + 8) > positions) {
        say({ name: title, text: 'its cache does not fit into the memory' });
        continue;
      }
      const { seconds, samples } = await timeDecode(native, batch, depth, work.steps);
      const floor = floorOf(least.decode(batch, depth), ceilings);
      const text = `${Math.round(batch / seconds)} tokens/s, ${(1e6 * seconds).toFixed(0)} us a step, ${share(floor, seconds)}`;
      say({ name: title, depth, batch, seconds, samples, text });
    }
  } finally {
    await native.dispose();
    await tokenizer.dispose();
  }
  await besideTorch({ app, say, left }, name);
}

async function besideTorch({ app, say, left }, name) {
  const device = process.env.KVASIR_KIT_TORCH ?? 'cuda';
  const torch = await findTorch(device);
  if (!torch.python) {
    say({ name: 'PyTorch', text: torch.reason });
    return;
  }
  const args = [join(app, 'scripts/kit/torch_beside.py'), name, device];
  const onLine = (line) => line.startsWith('{') && say(JSON.parse(line));
  const ran = await runProgram(torch.python, args, { env: outerEnvironment(), limitMs: left(), onLine });
  if (ran.status !== 0) say({ name: 'PyTorch', text: `${torch.version}: ${ran.output.slice(-200)}` });
}
