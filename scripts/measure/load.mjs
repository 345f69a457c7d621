// How long a load takes, as the checkpoint and in its INT8 form: node scripts/measure/load.mjs [model] [rounds]
// Every load runs in a fresh process, the two forms in turn, so the files are in the page cache from the second round on.
// `native`: from an open container to weights that can run. `firstToken`: from the call of Model.load to the first token
// of a generation. Milliseconds; the first round does not count.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeModel } from '../../dist/formats/index.js';
import { resolveModel } from '../../dist/hub/index.js';
import { Model } from '../../dist/index.js';
import { native } from '../../dist/native.js';
import { quantizeModel } from '../../dist/quantize.js';

const threads = Number(process.env.KVASIR_THREADS ?? 2);

async function nativeLoad(reference) {
  const files = await resolveModel(reference);
  const container = await native().openContainer(files.weights);
  const { spec, tensors } = await describeModel(files, container);
  const options = { dtype: 'int8', kvDtype: 'int8', contextLength: 4096, kvCapacity: 4096, threads };
  const begin = performance.now();
  const model = await native().loadModel(container, spec, tensors, options).promise;
  const end = performance.now();
  container.close();
  await model.dispose();
  return end - begin;
}

async function firstToken(reference) {
  const begin = performance.now();
  const model = await Model.load(reference, { threads });
  await model.generate('Once upon a time', { maxTokens: 1, temperature: 0 });
  const end = performance.now();
  await model.dispose();
  return end - begin;
}

const works = { native: nativeLoad, firstToken };

function summary(samples) {
  const sorted = samples.toSorted((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], least: sorted[0], samples };
}

const [reference = 'smollm2-135m', rounds = '7', work] = process.argv.slice(2);
if (work !== undefined) {
  console.log((await works[work](reference)).toFixed(1));
} else {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-load-'));
  try {
    const out = join(folder, 'int8');
    await quantizeModel(reference, out);
    const report = {};
    for (let round = 0; round <= Number(rounds); ++round) {
      for (const [form, model] of Object.entries({ checkpoint: reference, int8: out })) {
        for (const name of Object.keys(works)) {
          const args = [fileURLToPath(import.meta.url), model, '1', name];
          const time = Number(execFileSync(process.execPath, args, { encoding: 'utf8' }));
          if (round === 0) continue;
          report[form] ??= {};
          report[form][name] ??= [];
          report[form][name].push(time);
        }
      }
    }
    for (const times of Object.values(report)) {
      for (const name of Object.keys(times)) times[name] = summary(times[name]);
    }
    console.log(JSON.stringify({ model: reference, threads, ...report }, undefined, 2));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
