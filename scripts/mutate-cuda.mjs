// Breaks the CUDA kernels one place at a time, in a copy of the sources, and counts how often the kernel tests on the
// emulation notice: each __syncthreads and __syncwarp removed, and a sample of index expressions shifted. Writes
// build/mutate-cuda.json and a table.
//   --sample=N    index changes to try (48), drawn by --seed=S (1)
//   --kind=K      only `barrier` or `index`
//   --file=PART   only files whose name contains PART
//   --minutes=M   stops after M minutes; what was not tried is counted as such
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMain, run, runMain } from './command.mjs';
import { projectRoot } from './setup.mjs';

const kernelRoom = 'native/backend/cuda';
const copied = ['CMakeLists.txt', 'native', 'test/cuda_emulation', 'test/fixtures'];

/** Comments and strings as blanks, so that places in the text hold. */
export function blankComments(text) {
  return text.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"/g, (match) =>
    match.replace(/[^\n]/g, ' '),
  );
}

/** Every removal of a barrier in a source. */
export function barrierMutants(text) {
  return [...blankComments(text).matchAll(/__sync(?:threads|warp)\([^()]*\);/g)].map((match) => ({
    kind: 'barrier',
    at: match.index,
    from: match[0],
    to: ';',
  }));
}

/**
 * Every change of an index that this script knows: a subscript's lowest bit, and `lane / 4` for `lane % 4` and the other
 * way round, which is how fragments are addressed. Declarations, captures and constant conditions are left alone.
 */
export function indexMutants(text) {
  const code = blankComments(text);
  const mutants = [];
  for (const match of code.matchAll(/([\w)\]])\[([^[\]]+)\]/g)) {
    const before = code.slice(code.lastIndexOf('\n', match.index) + 1, match.index + 1);
    // `int d[4]`, `float sums[kRows]`: a type, then a name, then the bracket.
    if (
      /(?:^|[(,;{]|\bconst)\s*(?:[a-z]\w*_t|int|float|double|bool|unsigned|[iu]?int[24]|float[24])\s+\w+$/.test(
        before,
      )
    )
      continue;
    const index = match[2].trim();
    if (/^[&=]|^this$/.test(index)) continue;
    mutants.push({ kind: 'index', at: match.index + 1, from: `[${match[2]}]`, to: `[(${index}) ^ 1]` });
  }
  for (const match of code.matchAll(/\b(lane|\w*[tT]id\w*|\w*lane\w*) ([/%]) (\w+)/g)) {
    const [from, name, operator, divisor] = match;
    mutants.push({
      kind: 'index',
      at: match.index,
      from,
      to: `${name} ${operator === '/' ? '%' : '/'} ${divisor}`,
    });
  }
  return mutants;
}

/** `count` of the items, the same ones for the same seed. */
export function sample(items, count, seed) {
  let state = seed >>> 0 || 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const left = [...items];
  const taken = [];
  while (taken.length < count && left.length > 0)
    taken.push(left.splice(Math.floor(next() * left.length), 1)[0]);
  return taken;
}

function lineOf(text, at) {
  return text.slice(0, at).split('\n').length;
}

/** All mutants of the kernels, with their files; ptx.cuh is for test/cuda-ptx.test.ts. */
function collectMutants(options) {
  const files = readdirSync(join(projectRoot, kernelRoom)).filter(
    (file) => /\.cuh?$/.test(file) && file !== 'ptx.cuh' && file.includes(options.file ?? ''),
  );
  const all = files.flatMap((file) => {
    const text = readFileSync(join(projectRoot, kernelRoom, file), 'utf8');
    return [...barrierMutants(text), ...indexMutants(text)].map((mutant) => ({
      ...mutant,
      file,
      line: lineOf(text, mutant.at),
    }));
  });
  const barriers = all.filter(({ kind }) => kind === 'barrier');
  const indices = sample(
    all.filter(({ kind }) => kind === 'index'),
    Number(options.sample ?? 48),
    Number(options.seed ?? 1),
  );
  if (options.kind === 'barrier') return barriers;
  return options.kind === 'index' ? indices : [...barriers, ...indices];
}

class Workshop {
  constructor() {
    this.folder = join(projectRoot, 'build', 'mutate-cuda');
    this.build = join(this.folder, 'build');
  }

  /** A fresh copy of the sources; what was built before is kept. */
  async prepare() {
    mkdirSync(this.folder, { recursive: true });
    for (const path of copied) {
      rmSync(join(this.folder, path), { recursive: true, force: true });
      cpSync(join(projectRoot, path), join(this.folder, path), { recursive: true, preserveTimestamps: true });
    }
    const flags = ['-DKVASIR_NATIVE_TESTS_ONLY=ON'];
    const configured = await run('cmake', ['-S', this.folder, '-B', this.build, '-G', 'Ninja', ...flags]);
    if (configured.status !== 0) throw new Error(configured.output);
  }

  async compile() {
    return (await run('cmake', ['--build', this.build, '-j1'])).status === 0;
  }

  /** Whether the kernel tests pass, and how long they took. */
  async test(limitSeconds) {
    const begin = Date.now();
    const { status } = await run('timeout', [
      String(Math.ceil(limitSeconds)),
      join(this.build, 'native_tests'),
      'cuda_',
    ]);
    return { passed: status === 0, seconds: (Date.now() - begin) / 1000 };
  }

  async try(mutant, limitSeconds) {
    const path = join(this.folder, kernelRoom, mutant.file);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, mutant.at) + mutant.to + text.slice(mutant.at + mutant.from.length));
    try {
      if (!(await this.compile())) return 'does not compile';
      return (await this.test(limitSeconds)).passed ? 'survived' : 'caught';
    } finally {
      writeFileSync(path, text);
    }
  }
}

function table(results) {
  const rows = ['| file | barriers caught | index changes caught |', '| --- | --- | --- |'];
  const share = (of) => {
    const tried = of.filter(({ outcome }) => outcome !== 'does not compile');
    return tried.length === 0
      ? ''
      : `${tried.filter(({ outcome }) => outcome === 'caught').length} of ${tried.length}`;
  };
  const line = (name, of) => {
    const kinds = ['barrier', 'index'].map((kind) => share(of.filter((result) => result.kind === kind)));
    rows.push(`| ${name} | ${kinds.join(' | ')} |`);
  };
  for (const file of new Set(results.map(({ file }) => file)))
    line(
      file,
      results.filter((r) => r.file === file),
    );
  line('all', results);
  return rows.join('\n');
}

async function main() {
  const options = Object.fromEntries(
    process.argv.slice(2).map((argument) => /^--(\w+)=(.*)$/.exec(argument)?.slice(1) ?? [argument, '']),
  );
  const mutants = collectMutants(options);
  const workshop = new Workshop();
  await workshop.prepare();
  if (!(await workshop.compile())) throw new Error('the unchanged sources do not build');
  const unchanged = await workshop.test(600);
  if (!unchanged.passed) throw new Error('the tests fail on the unchanged sources');
  const deadline = Date.now() + Number(options.minutes ?? 1e6) * 60_000;
  const results = [];
  for (const mutant of mutants) {
    if (Date.now() > deadline) break;
    const outcome = await workshop.try(mutant, 10 * unchanged.seconds + 30);
    results.push({ ...mutant, outcome });
    console.log(`${outcome.padEnd(17)}${mutant.file}:${mutant.line}  ${mutant.from} -> ${mutant.to}`);
  }
  const tried = results.filter(({ outcome }) => outcome !== 'does not compile');
  const caught = tried.filter(({ outcome }) => outcome === 'caught').length;
  const untried = mutants.length - results.length;
  const report = join(projectRoot, 'build', 'mutate-cuda.json');
  writeFileSync(report, `${JSON.stringify({ caught, tried: tried.length, untried, results }, null, 2)}\n`);
  console.log(`\n${table(results)}\n`);
  console.log(
    `${caught} of ${tried.length} caught (${((100 * caught) / tried.length).toFixed(1)} %), ${untried} not tried`,
  );
  return existsSync(report) && caught >= 0.95 * tried.length ? 0 : 1;
}

if (isMain(import.meta.url)) await runMain(main);
