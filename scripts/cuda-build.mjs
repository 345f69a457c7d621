// Builds build/Release/kvasir_cuda.so, the CUDA backend with its own CUDA runtime, where there is a GPU and nvcc, or where it
// is asked for; else there is no library and no error. Each source is compiled once for all architectures, and kept by the
// content of what it is made from, in build/cuda or KVASIR_CUDA_CACHE. The compiler's account of registers and spills is
// kept beside the object.
//   KVASIR_CUDA=off           leaves the library out
//   KVASIR_CUDA=on            builds it without a GPU too, and fails where that cannot be
//   KVASIR_CUDA_ARCHS=86,90   compiles for these alone (and PTX of the newest): for developers
// Node built-ins only: this runs before `npm ci`.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { utimesSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { run } from './command.mjs';
import { sayUpToDate, Step } from './progress.mjs';
import { cudaAbi, readSources } from './sources.mjs';
import { Stamp } from './stamp.mjs';
import { findNvcc, hasGpu, SetupError } from './toolchain.mjs';

export const cudaLibraryPath = 'build/Release/kvasir_cuda.so';
/** What the last build made or why it made nothing; `kvasir doctor` reads it. */
export const cudaRecordPath = 'build/Release/kvasir_cuda.json';
/** The objects of the last build with the compiler's account of each; the checks of the compiled code read it. */
export const cudaManifestPath = 'build/cuda/manifest.json';

export const cudaArchitectures = [75, 80, 86, 89, 90, 100, 120];

const title = 'CUDA library';
const off = 'KVASIR_CUDA is off';
const oldestToolkit = 12;
const keptDays = 14;

/** The architectures that KVASIR_CUDA_ARCHS asks for, such as '86,90' or '8.6 9.0'; all where it is not set. */
export function wantedArchitectures(env = process.env) {
  const given = env.KVASIR_CUDA_ARCHS;
  if (!given) return cudaArchitectures;
  const names = given.split(/[\s,;]+/).filter(Boolean);
  const numbers = names.map((name) => Number(name.replace(/^sm_/, '').replace('.', '')));
  if (
    numbers.length > 0 &&
    numbers.every((number) => Number.isInteger(number) && number >= 75 && number < 1000)
  ) {
    return [...new Set(numbers)].sort((a, b) => a - b);
  }
  throw new SetupError(`KVASIR_CUDA_ARCHS is '${given}'; it must be numbers from 75 on, such as 86,90.`);
}

/** Is the library wanted where no GPU is? Who names architectures builds for another machine. */
export function isAskedFor(env) {
  return /^(on|1|yes|true)$/i.test(env.KVASIR_CUDA ?? '') || Boolean(env.KVASIR_CUDA_ARCHS);
}

/** Version and architectures of a compiler. */
async function inspectNvcc(nvcc) {
  const version = await run(nvcc, ['--version']);
  const toolkit = /release (\d+)\.(\d+)/.exec(version.output);
  if (version.status !== 0 || !toolkit) return undefined;
  const { output } = await run(nvcc, ['--list-gpu-code']);
  const known = [...output.matchAll(/^sm_(\d+)$/gm)].map(([, number]) => Number(number));
  return { text: version.output, toolkit: `${toolkit[1]}.${toolkit[2]}`, major: Number(toolkit[1]), known };
}

/**
 * How the library can be built here.
 * @returns {Promise<{ reason: string } | { nvcc: string, version: string, toolkit: string, targets: number[] }>}
 */
async function planCuda(env, system) {
  if (/^(off|0|no|false)$/i.test(env.KVASIR_CUDA ?? '')) return { reason: off };
  if (!isAskedFor(env) && !hasGpu(env, system)) {
    return { reason: 'no NVIDIA GPU was found when Kvasir was built; KVASIR_CUDA=on builds it all the same' };
  }
  if (process.platform !== 'linux') return { reason: 'the CUDA backend is for Linux' };
  const nvcc = findNvcc(env);
  if (!nvcc) return { reason: 'nvcc was found neither in CUDA_HOME nor on PATH nor in /usr/local/cuda' };
  const found = await inspectNvcc(nvcc);
  if (!found) return { reason: `${nvcc} does not say its version` };
  if (found.major < oldestToolkit) {
    return {
      reason: `${nvcc} is of CUDA ${found.toolkit}, and ${oldestToolkit}.0 is the oldest that will do`,
    };
  }
  const targets = wantedArchitectures(env).filter((target) => found.known.includes(target));
  if (targets.length === 0) {
    return { reason: `${nvcc} knows none of the architectures ${wantedArchitectures(env).join(', ')}` };
  }
  return { nvcc, version: found.text, toolkit: found.toolkit, targets };
}

/** The quoted includes of a file, and theirs, below native/. */
export function includedFiles(root, path, found = new Set()) {
  const text = readFileSync(join(root, 'native', path), 'utf8');
  for (const [, header] of text.matchAll(/^\s*#\s*include\s*"([^"]+)"/gm)) {
    if (found.has(header) || !existsSync(join(root, 'native', header))) continue;
    found.add(header);
    includedFiles(root, header, found);
  }
  return [...found].sort();
}

/** What a source is compiled with; the file itself and the output are left out. */
function compileFlags(root, { targets }, path, env) {
  const host = [
    '-fPIC',
    '-ffp-contract=off',
    '-fno-math-errno',
    '-fvisibility=hidden',
    '-fvisibility-inlines-hidden',
  ];
  const held = `${targets.join(' ')} ${targets.at(-1)}+PTX`;
  const flags = [
    ...['-std=c++20', '-O3', '-DNDEBUG', '-I', 'native', `-DKVASIR_CUDA_ABI="${cudaAbi(root)}"`],
    `-DKVASIR_CUDA_TARGETS="${held}"`,
    `--compiler-options=${[...host, '-Wall', '-Wextra', '-Wno-unknown-pragmas'].join(',')}`,
  ];
  // Both sides of the border by one compiler.
  if (env.CXX) flags.push('-ccbin', env.CXX);
  if (!path.endsWith('.cu')) return flags;
  const newest = targets.at(-1);
  const code = (target) => (target === newest ? `[sm_${target},compute_${target}]` : `sm_${target}`);
  const generated = targets.flatMap((target) => ['-gencode', `arch=compute_${target},code=${code(target)}`]);
  return [...flags, '-fmad=false', '-Xptxas', '-v', ...generated];
}

/** Every object that the library is made from: its source, its place in the cache and how it is made. */
function planObjects(root, plan, env) {
  const cache = resolve(root, env.KVASIR_CUDA_CACHE || 'build/cuda');
  const sources = readSources(root).filter(({ kind }) => kind === 'cuda' || kind === 'shared');
  return sources.map(({ path }) => {
    const flags = compileFlags(root, plan, path, env);
    const hash = createHash('sha256').update(JSON.stringify([plan.version, flags]));
    for (const name of [path, ...includedFiles(root, path)]) {
      hash.update(`\0${name}\0`).update(readFileSync(join(root, 'native', name)));
    }
    const stem = `${basename(path).replace(/\.\w+$/, '')}-${hash.digest('hex').slice(0, 24)}`;
    const bytes = statSync(join(root, 'native', path)).size;
    return { path, flags, bytes, object: join(cache, `${stem}.o`), log: join(cache, `${stem}.log`) };
  });
}

async function compile(root, { nvcc }, { path, flags, object, log }, threads) {
  mkdirSync(dirname(object), { recursive: true });
  const partial = `${object}.${process.pid}.o`;
  const args = [...flags, '--threads', `${threads}`, '-c', join('native', path), '-o', partial];
  const { status, output } = await run(nvcc, args, { cwd: root });
  if (status !== 0) {
    rmSync(partial, { force: true });
    throw new SetupError(`${output.trimEnd()}\n\nnvcc could not compile native/${path}.`);
  }
  writeFileSync(log, output);
  // Last, and at once: an object is there only when it is whole.
  renameSync(partial, object);
}

/** Compiles what the cache lacks, the largest first, so that no core waits for the last one alone. */
async function compileMissing(root, plan, objects, jobs, step) {
  const missing = objects.filter(({ object, log }) => !existsSync(object) || !existsSync(log));
  const queue = [...missing].sort((a, b) => b.bytes - a.bytes);
  const threads = Math.max(1, Math.floor(jobs / Math.max(1, queue.length)));
  let done = 0;
  const worker = async () => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      step.update(`${done} of ${missing.length} sources, now ${basename(next.path)}`);
      try {
        await compile(root, plan, next, threads);
      } catch (error) {
        queue.length = 0;
        throw error;
      }
      done += 1;
    }
  };
  // All of them end before the first failure is told: nothing runs on behind it.
  const ends = await Promise.allSettled(Array.from({ length: jobs }, worker));
  const failed = ends.find(({ status }) => status === 'rejected');
  if (failed) throw failed.reason;
  return missing.length;
}

/** Marks what was used, and drops what was not for two weeks. */
function tidyCache(objects) {
  const now = Date.now() / 1000;
  const folder = dirname(objects[0].object);
  for (const { object, log } of objects) for (const path of [object, log]) utimesSync(path, now, now);
  for (const name of readdirSync(folder).filter((name) => /-[0-9a-f]{24}\.(o|log)$/.test(name))) {
    const path = join(folder, name);
    if (statSync(path).mtimeMs / 1000 < now - keptDays * 24 * 3600) rmSync(path);
  }
}

async function link(root, { nvcc }, objects, env) {
  const exports = 'native/backend/cuda/exports.map';
  const args = ['-shared', '-cudart=static', '-o', cudaLibraryPath, ...objects.map(({ object }) => object)];
  // What is not defined must be known now, not when a user's process opens the library.
  args.push('-Xlinker', `--version-script=${exports},-z,defs,-s`, '-lpthread', '-ldl', '-lrt');
  if (env.CXX) args.push('-ccbin', env.CXX);
  const { status, output } = await run(nvcc, args, { cwd: root });
  if (status !== 0) throw new SetupError(`${output.trimEnd()}\n\nThe CUDA library could not be linked.`);
}

function writeRecord(root, record) {
  mkdirSync(join(root, dirname(cudaRecordPath)), { recursive: true });
  writeFileSync(join(root, cudaRecordPath), `${JSON.stringify(record, null, 2)}\n`);
}

/** No library, and a record that says why; one of an earlier build would be of other sources. */
function leaveOut(root, reason) {
  rmSync(join(root, cudaLibraryPath), { force: true });
  writeRecord(root, { built: false, reason });
}

async function buildWith(root, plan, objects, { jobs, env, step }) {
  const compiled = await compileMissing(root, plan, objects, jobs, step);
  step.update('linking');
  mkdirSync(join(root, dirname(cudaLibraryPath)), { recursive: true });
  await link(root, plan, objects, env);
  tidyCache(objects);
  const { nvcc, toolkit, targets } = plan;
  mkdirSync(join(root, dirname(cudaManifestPath)), { recursive: true });
  const kept = objects.map(({ path, object, log }) => ({ path, object, log }));
  writeFileSync(
    join(root, cudaManifestPath),
    `${JSON.stringify({ nvcc, targets, objects: kept }, null, 2)}\n`,
  );
  writeRecord(root, { built: true, toolkit, targets });
  return compiled;
}

/**
 * Builds the CUDA library when what it is made from changed since the last time.
 * @param {{ jobs: number, optional?: boolean, env?: NodeJS.ProcessEnv, system?: string }} options `optional`: a compiler
 *   that fails is told, and the library left out: an installation goes on with the CPU. `system`: the root of the file
 *   system that a GPU is looked for in
 * @throws {SetupError} with the compiler's own output, or why what is asked for cannot be built
 */
export async function buildCuda(root, { jobs, optional = false, env = process.env, system = '/' }) {
  const plan = await planCuda(env, system);
  if (plan.reason !== undefined) {
    leaveOut(root, plan.reason);
    if (isAskedFor(env) && plan.reason !== off && !optional) {
      throw new SetupError(`The CUDA library is asked for and cannot be built: ${plan.reason}.`);
    }
    process.stderr.write(`  ${title}: none, ${plan.reason}\n`);
    return;
  }
  const objects = planObjects(root, plan, env);
  const hash = createHash('sha256').update(JSON.stringify(objects.map(({ object }) => object)));
  hash.update(readFileSync(join(root, 'native/backend/cuda/exports.map')));
  const digest = hash.digest('hex');
  const stamp = new Stamp(root, 'cuda', [cudaLibraryPath, cudaRecordPath, cudaManifestPath]);
  if (stamp.isCurrent(digest)) {
    sayUpToDate(title);
    return;
  }
  const step = new Step(`${title} (CUDA ${plan.toolkit}, sm_${plan.targets.join(', ')} and PTX)`);
  stamp.clear();
  try {
    const compiled = await buildWith(root, plan, objects, { jobs, env, step });
    stamp.write(digest);
    step.done(`${compiled} of ${objects.length} sources compiled`);
  } catch (error) {
    step.fail();
    if (!optional || !(error instanceof SetupError)) throw error;
    leaveOut(root, 'nvcc failed when Kvasir was installed');
    process.stderr.write(`${error.message}\nKvasir goes on without its CUDA library, on the CPU.\n`);
  }
}
