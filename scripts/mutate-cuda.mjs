// Breaks the CUDA kernels one place at a time, in a copy of the sources, and counts how often the tests over the
// emulation notice, as sm_80 (native_tests) or as sm_75 (native_tests_sm75): each __syncthreads and __syncwarp removed,
// each __syncthreads turned into __syncwarp, each wait for asynchronous copies removed, each use of a lane's number
// outside of subscripts shifted, and a sample of the subscripts. Only tests of kernels count, not those of whole models.
// Prints a table and writes build/mutate-cuda.json, which also lets a run go on where one over the same sources and tests
// was stopped. Exit status 1 below 95 %.
//   --sample=N    index changes to try (48; `all`), drawn by --seed=S (1); more of the same seed are others besides
//   --kind=K      only `barrier`, `weaker`, `copy`, `lane` or `index`
//   --file=PART   only files whose name contains PART
//   --minutes=M   stops after M minutes; what was not tried is counted as such
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isMain, run, runMain } from './command.mjs';
import { markEquivalents, mutantsOf, sample } from './cuda-mutants.mjs';
import { projectRoot } from './setup.mjs';
import { hashInputs, listFiles } from './stamp.mjs';

const kernelRoom = 'native/backend/cuda';
const copied = ['CMakeLists.txt', 'native', 'test/cuda_emulation', 'test/fixtures'];
const report = join(projectRoot, 'build', 'mutate-cuda.json');

/** Tests that are most likely to notice a change of a file: they run first. */
const concerns = [
  [/^attention/, ['cuda_attention']],
  [/^ge|^linear_s8/, ['cuda_gem', 'cuda_linear_s8']],
  [/^linear_f32/, ['cuda_linear_f32']],
  [/^logits/, ['cuda_logits']],
  [/^norm/, ['norm_equals', 'cuda_add_norm']],
  [/^ptx/, ['cuda_gem', 'cuda_attention_equals_cpu_in_batches']],
  [/^quantize_rows/, ['norm_equals', 'cuda_quantize', 'cuda_activations']],
  [/^residual/, ['cuda_add_norm', 'cuda_scale', 'cuda_add_scaled', 'cuda_output_gate']],
  [/^rotate/, ['cuda_quantize', 'cuda_rotate_blocks', 'cuda_embed']],
  [/^rows/, ['cuda_rotate_blocks', 'cuda_embed', 'cuda_repacked', 'cuda_add']],
  [/^softmax/, ['cuda_logits', 'cuda_attention']],
];

/** The runs of tests after which a change counts as not noticed, the quick ones first. */
function runsFor(file) {
  const names = concerns.find(([pattern]) => pattern.test(file))?.[1] ?? ['cuda_linear_rows'];
  const runs = [
    { program: 'native_tests', names },
    { program: 'native_tests_sm75', names },
    { program: 'native_tests_sm75', names: ['cuda_'] }, // the tests of all kernels
  ];
  // Nothing but sm_75 compiles what is tried of this one.
  return file === 'ptx.cuh' ? runs.filter(({ program }) => program === 'native_tests_sm75') : runs;
}

class Workshop {
  constructor() {
    this.folder = join(projectRoot, 'build', 'mutate-cuda');
    this.build = join(this.folder, 'build');
  }

  /** A fresh copy of the sources, built and tested unchanged; what was built before is kept, but for the kernels. */
  async prepare() {
    mkdirSync(this.folder, { recursive: true });
    for (const path of copied) {
      rmSync(join(this.folder, path), { recursive: true, force: true });
      cpSync(join(projectRoot, path), join(this.folder, path), { recursive: true, preserveTimestamps: true });
    }
    // What was built last of a kernel was built from a mutant, and may be newer than its source.
    const room = join(this.folder, kernelRoom);
    const now = new Date();
    for (const file of readdirSync(room)) utimesSync(join(room, file), now, now);
    const flags = ['-DKVASIR_NATIVE_TESTS_ONLY=ON'];
    const configured = await run('cmake', ['-S', this.folder, '-B', this.build, '-G', 'Ninja', ...flags]);
    if (configured.status !== 0) throw new Error(configured.output);
    const compiled = await this.compile('native_tests_sm75');
    if (compiled.status !== 0) throw new Error(`The unchanged sources do not build:\n${compiled.output}`);
    const begin = Date.now();
    for (const program of ['native_tests', 'native_tests_sm75']) {
      const names = [...new Set(concerns.flatMap((concern) => concern[1]))];
      const { status, output } = await this.test({ program, names }, 3600);
      if (status !== 0) throw new Error(`The tests fail on the unchanged sources:\n${output}`);
    }
    // Whoever measures something else on this machine may pause all of this for a while.
    this.limitSeconds = (5 * (Date.now() - begin)) / 1000 + 120;
  }

  compile(target) {
    return run('cmake', ['--build', this.build, '-j1', '--target', target]);
  }

  test({ program, names }, limitSeconds) {
    const command = [join(this.build, program), '--until-failure', ...names];
    return run('timeout', [String(Math.ceil(limitSeconds)), ...command]);
  }

  /** What becomes of a mutant: its outcome, and what noticed it. */
  async try(mutant) {
    const path = join(this.folder, kernelRoom, mutant.file);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, mutant.at) + mutant.to + text.slice(mutant.at + mutant.from.length));
    try {
      for (const tests of runsFor(mutant.file)) {
        const compiled = await this.compile(tests.program);
        if (compiled.status !== 0) return { outcome: 'does not compile' };
        const { status, output } = await this.test(tests, this.limitSeconds);
        if (status === 0) continue;
        const what = /^\S+:\d+: (\w+): (.*)$/m.exec(output);
        const by = what?.[1] ?? (status === 124 ? 'time' : `exit status ${status}`);
        return { outcome: 'caught', program: tests.program, by, message: what?.[2].slice(0, 200) };
      }
      return { outcome: 'survived' };
    } finally {
      writeFileSync(path, text);
    }
  }
}

function readKernels() {
  const files = readdirSync(join(projectRoot, kernelRoom)).filter((file) => /\.cuh?$/.test(file));
  return new Map(files.map((file) => [file, readFileSync(join(projectRoot, kernelRoom, file), 'utf8')]));
}

/** Barriers and a sample of the index changes, each file's together: they compile the same. */
function chooseMutants(options) {
  const texts = readKernels();
  const all = markEquivalents(
    [...texts].flatMap(([file, text]) => mutantsOf(file, text)),
    texts,
  ).filter(({ file }) => file.includes(options.file ?? ''));
  const indices = all.filter(({ kind }) => kind === 'index');
  const count = options.sample === 'all' ? indices.length : Number(options.sample ?? 48);
  const drawn = new Set(sample(indices, count, Number(options.seed ?? 1)));
  const taken = all.filter((mutant) => mutant.kind !== 'index' || drawn.has(mutant));
  return taken.filter(({ kind }) => kind === (options.kind ?? kind));
}

/** What an earlier run over the very same sources and tests found: outcomes by mutant. */
function readReport(sources) {
  const before = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : {};
  return before.sources === sources ? before : { sources, outcomes: {} };
}

const keyOf = ({ file, at, to }) => `${file}:${at}:${to}`;

function table(results) {
  const columns = {
    barrier: 'barriers removed',
    weaker: 'barriers weakened',
    copy: 'waits removed',
    lane: 'lanes shifted',
    index: 'subscripts shifted',
  };
  const rows = [
    `| file | ${Object.values(columns).join(' | ')} |`,
    `| --- |${' --- |'.repeat(Object.keys(columns).length)}`,
  ];
  const share = (of) => {
    const tried = of.filter(({ outcome, equivalent }) => outcome !== 'does not compile' && !equivalent);
    const caught = tried.filter(({ outcome }) => outcome === 'caught').length;
    return tried.length === 0 ? '' : `${caught} of ${tried.length}`;
  };
  for (const name of [...new Set(results.map(({ file }) => file)), 'all']) {
    const of = results.filter(({ file }) => name === 'all' || file === name);
    const shares = Object.keys(columns).map((kind) => share(of.filter((result) => result.kind === kind)));
    rows.push(`| ${name} | ${shares.join(' | ')} |`);
  }
  return rows.join('\n');
}

/** Prints the table and the share, and returns the exit status. */
function judge(results, untried) {
  const wrong = results.filter(({ equivalent, outcome }) => equivalent && outcome === 'caught');
  const compiled = results.filter(({ outcome }) => outcome !== 'does not compile');
  const tried = compiled.filter(({ equivalent }) => !equivalent);
  const caught = tried.filter(({ outcome }) => outcome === 'caught').length;
  console.log(`\n${table(results)}\n`);
  for (const { file, line, by } of wrong) console.log(`${file}:${line} is not equivalent: ${by} notices it`);
  console.log(
    `${caught} of ${tried.length} caught (${((100 * caught) / tried.length).toFixed(1)} %); ` +
      `${compiled.length - tried.length} change nothing, ${results.length - compiled.length} do not compile, ` +
      `${untried} not tried`,
  );
  return caught >= 0.95 * tried.length && wrong.length === 0 && untried === 0 ? 0 : 1;
}

async function main() {
  const options = Object.fromEntries(
    process.argv.slice(2).map((argument) => /^--(\w+)=(.*)$/.exec(argument)?.slice(1) ?? [argument, '']),
  );
  const mutants = chooseMutants(options);
  const sources = hashInputs(projectRoot, listFiles(projectRoot, copied), {});
  const found = readReport(sources);
  const { outcomes } = found;
  const left = mutants.filter((mutant) => !(keyOf(mutant) in outcomes));
  const workshop = new Workshop();
  if (left.length > 0) await workshop.prepare();
  const deadline = Date.now() + Number(options.minutes ?? 1e6) * 60_000;
  for (const mutant of left) {
    if (Date.now() > deadline) break;
    const result = await workshop.try(mutant);
    outcomes[keyOf(mutant)] = result;
    writeFileSync(report, `${JSON.stringify(found, null, 2)}\n`);
    const what = result.outcome === 'survived' && mutant.equivalent ? 'equivalent' : result.outcome;
    const how = result.by ? `  (${result.program} ${result.by})` : '';
    console.log(`${what.padEnd(17)}${mutant.file}:${mutant.line}  ${mutant.from} -> ${mutant.to}${how}`);
  }
  const results = mutants
    .filter((mutant) => keyOf(mutant) in outcomes)
    .map((mutant) => ({ ...mutant, ...outcomes[keyOf(mutant)] }));
  return judge(results, mutants.length - results.length);
}

if (isMain(import.meta.url)) await runMain(main);
