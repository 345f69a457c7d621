// One part of a GPU check, in a process of its own: prints its results as JSON, one a line, each as soon as it is known.
//   part.mjs NAME, with the environment of check.mjs
import { fileURLToPath } from 'node:url';
import { measureCeilings, runKernelTests } from './part-device.mjs';
import { describeDevice } from './part-device.mjs';
import { checkParity } from './part-parity.mjs';
import { measureShape } from './part-shape.mjs';
import { measureTimes } from './part-times.mjs';

const app = fileURLToPath(new URL('../..', import.meta.url));
const isTiny = process.env.KVASIR_KIT_SIZE === 'tiny';

/** What every part is given. */
const setting = {
  app,
  isTiny,
  out: process.env.KVASIR_KIT_OUT ?? `${app}results`,
  /** Milliseconds until this process is ended. */
  left: () => Number(process.env.KVASIR_KIT_MS ?? 60_000) - performance.now(),
  tests: process.env.KVASIR_KIT_TESTS ?? `${app}build/Release/native_tests_gpu`,
  measure: process.env.KVASIR_KIT_MEASURE ?? `${app}build/Release/cuda_measure`,
  say: (result) => process.stdout.write(`${JSON.stringify(result)}\n`),
};

const runs = {
  device: describeDevice,
  ceilings: measureCeilings,
  kernels: runKernelTests,
  parity: checkParity,
  'shape-1b': (one) => measureShape(one, isTiny ? 'tiny' : '1b'),
  'shape-8b': (one) => measureShape(one, isTiny ? 'tiny' : '8b'),
  times: measureTimes,
};

try {
  await runs[process.argv[2]](setting);
} catch (error) {
  process.stderr.write(`${error.stack ?? error}\n`);
  process.exitCode = 1;
}
