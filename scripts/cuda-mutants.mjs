// Which one-place changes of the CUDA kernels scripts/mutate-cuda.mjs tries, and how a sample of them is drawn.
import { equivalents } from './cuda-equivalents.mjs';

/** Comments and strings as blanks, so that places in the text hold. */
export function blankComments(text) {
  return text.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"/g, (match) =>
    match.replace(/[^\n]/g, ' '),
  );
}

/** Every removal of a barrier in a source, the barrier of a warp for the block's, and every removal of a wait for copies. */
export function barrierMutants(text) {
  const code = blankComments(text);
  const copies = [...code.matchAll(/\bCopyAsync(?:Commit|Wait<[^;()]*>)\(\);/g)].map((match) => ({
    kind: 'copy',
    at: match.index,
    from: match[0],
    to: ';',
  }));
  const barriers = [...code.matchAll(/__sync(?:threads|warp)\([^()]*\);/g)].flatMap((match) => {
    const removed = { kind: 'barrier', at: match.index, from: match[0], to: ';' };
    if (match[0].startsWith('__syncwarp')) return [removed];
    return [removed, { ...removed, kind: 'weaker', to: '__syncwarp();' }];
  });
  return [...barriers, ...copies];
}

/** Whether the bracket at `at` is an array's size in a declaration: `int d[4]`, `uint4 x[2], w[kN]`, `float (&v)[4]`. */
function isSize(code, at) {
  const before = code.slice(0, at);
  // A reference to an array, and all its sizes.
  if (/\(\s*&\s*\w*\)(?:\[[^[\]]*\])*$/.test(before)) return true;
  // `a0[4] = {..}, a1[4] = {..}`: the second one.
  if (/\},\s*\w+(?:\[\w+\])*$/.test(before) && /^(?:\[\w+\])+\s*=\s*\{/.test(code.slice(at))) return true;
  const begin = Math.max(...[...';{}()'].map((end) => before.lastIndexOf(end))) + 1;
  const declares =
    /^\s*(?:(?:static|const|constexpr)\s+)*(?!return\b|case\b|else\b)[A-Za-z_][\w:]*(?:<[^;]*>)?\s+\w+\b/;
  const statement = before.slice(begin);
  return declares.test(statement) && !statement.slice(statement.lastIndexOf(',') + 1).includes('=');
}

/**
 * Every change of an index that this script knows: a subscript's lowest bit, and `lane / 4` for `lane % 4` and the other
 * way round, which is how fragments are addressed.
 */
export function indexMutants(text) {
  const code = blankComments(text);
  const mutants = [];
  for (const match of code.matchAll(/(?<=[\w)\]])\[([^[\]]+)\]/g)) {
    if (isSize(code, match.index)) continue;
    mutants.push({ kind: 'index', at: match.index, from: match[0], to: `[(${match[1].trim()}) ^ 1]` });
  }
  for (const match of code.matchAll(/\b(lane|\w*[tT]id\w*|\w*lane\w*) ([/%]) (\w+)/g)) {
    const [from, name, operator, divisor] = match;
    const to = `${name} ${operator === '/' ? '%' : '/'} ${divisor}`;
    mutants.push({ kind: 'index', at: match.index, from, to });
  }
  return mutants.sort((a, b) => a.at - b.at);
}

const places = 'lane|quarter|column|g|t|warp|thread';

/**
 * Every use of a place that is made from threadIdx in its function, shifted: `(lane ^ 1)` for `lane`. That is how what
 * has no subscript is addressed: `weights + lane`. Comparisons are left alone, and what indexMutants changes: subscripts,
 * / and %.
 */
export function laneMutants(text) {
  const code = blankComments(text);
  const mutants = [];
  for (const match of code.matchAll(new RegExp(`\\b(${places}) = ([^,;]*)`, 'g'))) {
    const [all, name, value] = match;
    if (!/threadIdx|\blane\b|\bthread\b|WarpOfBlock/.test(value)) continue;
    const indent = /^ */.exec(code.slice(code.lastIndexOf('\n', match.index) + 1))[0].length;
    const begin = match.index + all.length;
    // The function ends where a line is closed that is indented less than the declaration.
    const end = begin + code.slice(begin).search(new RegExp(`\\n {0,${indent - 1}}}`));
    const use = new RegExp(`(?<![.>=<!]=? ?|[.\\w])\\b${name}\\b(?! *(?:[<>!/%]|=))`, 'g');
    for (const { index } of code.slice(begin, end).matchAll(use)) {
      if (/\[[^\]]*$/.test(code.slice(begin, begin + index))) continue;
      mutants.push({ kind: 'lane', at: begin + index, from: name, to: `(${name} ^ 1)` });
    }
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

/** Where ptx.cuh stops being PTX and its twins, which test/native/cuda-ptx.test.ts compares, and is what sm_75 runs instead. */
const sm75Begin = '#if defined(KVASIR_CUDA_ARCH) && KVASIR_CUDA_ARCH < 800';

/** All mutants of one file, with the line that each is on. */
export function mutantsOf(file, text) {
  const first = file === 'ptx.cuh' ? text.indexOf(sm75Begin) : 0;
  if (first < 0) throw new Error(`ptx.cuh: no '${sm75Begin}'`);
  return [...barrierMutants(text), ...indexMutants(text), ...(first === 0 ? laneMutants(text) : [])]
    .filter(({ at }) => at >= first)
    .map((mutant) => ({ file, line: text.slice(0, mutant.at).split('\n').length, ...mutant }));
}

/** The mutants, those that change nothing with `equivalent`: why. */
export function markEquivalents(mutants, texts, list = equivalents) {
  const reasons = new Map();
  for (const { file, code, from, reason } of list) {
    const begin = texts.get(file)?.indexOf(code) ?? -1;
    const covered = mutants.filter(
      (mutant) =>
        mutant.file === file && mutant.from === from && mutant.at >= begin && mutant.at < begin + code.length,
    );
    if (begin < 0 || texts.get(file).includes(code, begin + 1) || covered.length === 0) {
      throw new Error(
        `${file}: '${code}' with '${from}' does not stand there once: judge this equivalent again`,
      );
    }
    for (const mutant of covered) reasons.set(mutant, reason);
  }
  return mutants.map((mutant) =>
    reasons.has(mutant) ? { ...mutant, equivalent: reasons.get(mutant) } : mutant,
  );
}
