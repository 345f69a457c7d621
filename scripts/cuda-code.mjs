// What nvcc made of the kernels: registers, shared memory and spills from the compiler's account of the last build, and
// machine code through cuobjdump. test/native/cuda-code.test.ts checks it; as a command it prints the tables of
// docs/cuda.md:
//   node scripts/cuda-code.mjs [sm_80 ...]
import { existsSync, readFileSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { isMain, run, runMain } from './command.mjs';
import { cudaManifestPath, cudaRecordPath } from './cuda-build.mjs';
import { projectRoot } from './setup.mjs';
import { findProgram, SetupError } from './toolchain.mjs';

const toolPackages = ['nvidia-cuda-cuobjdump', 'nvidia-cuda-nvdisasm'];

/** What a multiprocessor holds at most. CUDA C++ Programming Guide, "Technical Specifications per Compute Capability". */
const limits = {
  75: { threads: 1024, blocks: 16, shared: 64 },
  80: { threads: 2048, blocks: 32, shared: 164 },
  86: { threads: 1536, blocks: 16, shared: 100 },
  89: { threads: 1536, blocks: 24, shared: 100 },
  90: { threads: 2048, blocks: 32, shared: 228 },
  100: { threads: 2048, blocks: 32, shared: 228 },
  120: { threads: 1536, blocks: 24, shared: 100 },
};
const registersOfMultiprocessor = 65536;

/** The objects of the last build, or undefined where it made no library. */
export function readManifest(root) {
  const [record, manifest] = [cudaRecordPath, cudaManifestPath].map((name) => join(root, name));
  if (!existsSync(record) || !JSON.parse(readFileSync(record, 'utf8')).built || !existsSync(manifest))
    return undefined;
  return JSON.parse(readFileSync(manifest, 'utf8'));
}

async function demangle(names) {
  const { status, output } = await run('c++filt', ['-p', ...names]);
  return new Map(names.map((name, i) => [name, status === 0 ? shortName(output.split('\n')[i]) : name]));
}

/** `GemmTiles<Shape<2, 1>>` of `kvasir::cuda::(anonymous namespace)::GemmTiles<kvasir::...>`. */
function shortName(name) {
  return name.replace(/kvasir::|cuda::|\(anonymous namespace\)::|\(\w+Kind\)/g, '').replace(/ +>/g, '>');
}

/**
 * ptxas -v: one entry for each kernel and target.
 * @returns {{ name: string, target: number, registers: number, shared: number, stack: number, spills: number }[]}
 *   bytes; `spills`: stores and loads together; `shared`: static
 */
export function parsePtxas(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const start = /Compiling entry function '([^']+)' for 'sm_(\d+)/.exec(line);
    if (start)
      kernels.push({
        name: start[1],
        target: Number(start[2]),
        registers: 0,
        shared: 0,
        stack: 0,
        spills: 0,
      });
    const kernel = kernels.at(-1);
    const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
    if (kernel && stack) {
      // A function that was not inlined has an entry of its own, and counts with the kernel before it.
      kernel.stack += Number(stack[1]);
      kernel.spills += Number(stack[2]) + Number(stack[3]);
    }
    const used = /Used (\d+) registers/.exec(line);
    if (kernel && used) {
      kernel.registers = Number(used[1]);
      kernel.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
    }
  }
  return kernels;
}

/** Every kernel of the last build: as `parsePtxas`, with readable names and the source. */
export async function readKernels({ objects }) {
  const found = objects.flatMap(({ path, log }) =>
    parsePtxas(readFileSync(log, 'utf8')).map((kernel) => ({ ...kernel, source: basename(path) })),
  );
  const names = await demangle([...new Set(found.map(({ name }) => name))]);
  return found.map((kernel) => ({ ...kernel, mangled: kernel.name, name: names.get(kernel.name) }));
}

/**
 * cuobjdump with nvdisasm beside it: on PATH, beside nvcc, or NVIDIA's Python packages in build/cuda-tools, which are
 * installed there once.
 * @returns {Promise<string | undefined>} the folder of both
 */
export async function findCudaTools(root, nvcc) {
  const inFolder = (folder) =>
    ['cuobjdump', 'nvdisasm'].every((name) => findProgram(name, { PATH: folder })) ? folder : undefined;
  const onPath = findProgram('cuobjdump');
  const near = (onPath && inFolder(dirname(onPath))) || inFolder(dirname(nvcc)) || installed(root, inFolder);
  if (near) return near;
  const target = join(root, 'build', 'cuda-tools');
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', target, ...toolPackages];
  const { status } = await run('python3', pip, { cwd: root });
  return status === 0 ? installed(root, inFolder) : undefined;
}

function installed(root, inFolder) {
  const nvidia = join(root, 'build', 'cuda-tools', 'nvidia');
  // The folder is named for the major version of CUDA.
  return ['cu13', 'cu12', 'cuda_cuobjdump'].map((name) => inFolder(join(nvidia, name, 'bin'))).find(Boolean);
}

async function cuobjdump(tools, args) {
  const env = { ...process.env, PATH: `${tools}${delimiter}${process.env.PATH}` };
  const { status, output } = await run(join(tools, 'cuobjdump'), args, { env });
  if (status !== 0) throw new SetupError(`${output.trimEnd()}\n\ncuobjdump ${args.join(' ')} failed.`);
  return output;
}

/** @returns {Promise<Map<string, { address: number, text: string }[]>>} instructions by the kernel's readable name */
export async function disassemble(tools, object, target) {
  const output = await cuobjdump(tools, ['-sass', '-arch', `sm_${target}`, object]);
  const bodies = new Map();
  let body = [];
  for (const line of output.split('\n')) {
    const start = /^\s*Function : (\S+)/.exec(line);
    if (start) {
      body = [];
      bodies.set(start[1], body);
    }
    const instruction = /^\s+\/\*([0-9a-f]{4,})\*\/\s+(.*?)\s*;/.exec(line);
    if (instruction) body.push({ address: Number.parseInt(instruction[1], 16), text: instruction[2] });
  }
  const names = await demangle([...bodies.keys()]);
  return new Map([...bodies].map(([name, instructions]) => [names.get(name), instructions]));
}

/** What lies between a jump back and its target, loops around loops too. */
export function findLoops(body) {
  const loops = [];
  for (const { address, text } of body) {
    const jump = /^(?:@!?U?P\w+\s+)?BRA(?:\.\w+)*\s+(?:!?U?P\w+,\s*)*`?\(?(?:0x)?([0-9a-f]+)/.exec(text);
    const target = Number.parseInt(jump?.[1] ?? '', 16);
    if (target < address) loops.push(body.filter((one) => one.address >= target && one.address <= address));
  }
  return loops.map((loop) => loop.map(({ text }) => text));
}

const operation = (text) => text.replace(/^@!?U?P\w+\s+/, '');

/** How often instructions of each kind are in a piece of code. `share`: of all, those that multiply matrices or dot. */
export function countKinds(texts) {
  const operations = texts.map(operation).filter((text) => !text.startsWith('NOP'));
  const count = (pattern) => operations.filter((text) => pattern.test(text)).length;
  const tensor = count(/^(IMMA|HMMA|QMMA|OMMA)\b/);
  const dot = count(/^IDP\b/);
  return {
    ...{ all: operations.length, tensor, dot, share: (tensor + dot) / operations.length },
    fma: count(/^FFMA\b/),
    local: count(/^(LDL|STL)\b/),
    wideGlobal: count(/^(LDG|LDGSTS)\.\S*128/),
    narrowGlobal: count(/^(LDG|LDGSTS)\b(?!\.\S*128)/),
    wideShared: count(/^(LDS\.\S*128|LDSM\.\S*\.4|LDSM\.16\.M\S*\.4)/),
    narrowShared: count(/^(LDS|LDSM)\b(?!\S*(128|\.4\b))/),
    barriers: count(/^(BAR|WARPSYNC)\b/),
  };
}

/**
 * The shortest loop that holds most of a kernel's matrix and dot instructions, or of its FFMA where it has neither;
 * undefined where no loop does.
 */
export function hotLoop(body) {
  const texts = body.map(({ text }) => text);
  const weigh = (code) => {
    const { tensor, dot, fma } = countKinds(code);
    return /\b(I|H|Q|O)MMA\b|\bIDP\b/.test(texts.join('\n')) ? tensor + dot : fma;
  };
  const most = weigh(texts) / 2;
  const loops = findLoops(body).filter((loop) => weigh(loop) > 0 && weigh(loop) >= most);
  return loops.sort((a, b) => a.length - b.length)[0];
}

/** Threads of a block by the kernel's mangled name, where __launch_bounds__ says so. */
export async function readBlockSizes(tools, object) {
  const sizes = new Map();
  let name;
  for (const line of (await cuobjdump(tools, ['-ptx', object])).split('\n')) {
    name = /\.entry (\w+)/.exec(line)?.[1] ?? name;
    const threads = /\.maxntid (\d+)/.exec(line)?.[1];
    if (name && threads) sizes.set(name, Number(threads));
  }
  return sizes;
}

/** The warps that fit onto a multiprocessor, as a share of its most: by registers, shared memory, threads and blocks. */
export function occupancy(target, threads, { registers, shared }) {
  const limit = limits[target];
  const warps = Math.ceil(threads / 32);
  // Registers are handed out by 256 a warp; from sm_80 on a block takes 1 KiB of shared memory for itself.
  const byRegisters = Math.floor(
    registersOfMultiprocessor / (Math.ceil((registers * 32) / 256) * 256) / warps,
  );
  const bytes = shared + (target >= 80 ? 1024 : 0);
  const byShared = bytes === 0 ? limit.blocks : Math.floor((limit.shared * 1024) / bytes);
  const blocks = Math.min(byRegisters, byShared, Math.floor(limit.threads / (32 * warps)), limit.blocks);
  return (blocks * warps * 32) / limit.threads;
}

const percent = (value) => `${Math.round(100 * value)} %`;

/** One row for each kernel of a target. */
async function rowsOf(manifest, kernels, tools, target) {
  const rows = [];
  for (const { path, object } of manifest.objects.filter((one) => one.path.endsWith('.cu'))) {
    const bodies = await disassemble(tools, object, target);
    const sizes = await readBlockSizes(tools, object);
    for (const kernel of kernels.filter((one) => one.source === basename(path) && one.target === target)) {
      const threads = sizes.get(kernel.mangled);
      const loop = hotLoop(bodies.get(kernel.name) ?? []);
      const kinds = loop && countKinds(loop);
      rows.push([
        `\`${kernel.name}\``,
        ...[
          kernel.registers,
          kernel.shared,
          threads ?? '',
          threads ? percent(occupancy(target, threads, kernel)) : '',
        ],
        ...(kinds ? [kinds.all, kinds.tensor, kinds.dot, percent(kinds.share)] : ['', '', '', '']),
      ]);
    }
  }
  return rows;
}

async function main() {
  const manifest = readManifest(projectRoot);
  if (!manifest) throw new SetupError('The last build made no CUDA library: npm run build, with nvcc.');
  const tools = await findCudaTools(projectRoot, manifest.nvcc);
  if (!tools)
    throw new SetupError(`cuobjdump and nvdisasm are missing: pip install ${toolPackages.join(' ')}`);
  const kernels = await readKernels(manifest);
  const asked = process.argv.slice(2).map((name) => Number(name.replace('sm_', '')));
  for (const target of asked.length > 0 ? asked : manifest.targets) {
    const head = ['registers', 'shared, bytes', 'threads', 'occupancy', 'loop', 'IMMA', 'IDP', 'share'];
    process.stdout.write(
      `\n| sm_${target} | ${head.join(' | ')} |\n|---|${head.map(() => '--:|').join('')}\n`,
    );
    for (const row of await rowsOf(manifest, kernels, tools, target))
      process.stdout.write(`| ${row.join(' | ')} |\n`);
  }
}

if (isMain(import.meta.url)) await runMain(main);
