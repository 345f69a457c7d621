// Values that no public call takes: of the wrong type, out of range, or so made that reading them throws.
import { Random } from './random.mjs';

const thrower = () => {
  throw new Error('a trap');
};
const traps = Object.fromEntries(Object.getOwnPropertyNames(Reflect).map((name) => [name, thrower]));

function revoked(target) {
  const { proxy, revoke } = Proxy.revocable(target, {});
  revoke();
  return proxy;
}

function cycle() {
  const it = { role: 'user', content: 'x', list: [] };
  it.list.push(it);
  return it;
}

function nested(depth) {
  let it = {};
  for (let i = 0; i < depth; ++i) it = i % 2 ? [it] : { it };
  return it;
}

/** Small, and as a tree without end. */
function doubling() {
  let it = { role: 'user', content: 'x' };
  for (let i = 0; i < 40; ++i) it = { a: it, b: it };
  return it;
}

function getter(name) {
  return Object.defineProperty({}, name, { enumerable: true, get: thrower });
}

function detached() {
  const ids = Int32Array.of(1, 2);
  structuredClone(ids.buffer, { transfer: [ids.buffer] });
  return ids;
}

/** A list whose first entry is not there. */
function holed(value) {
  const it = new Array(1);
  it.push(value);
  return it;
}

class OddIds extends Int32Array {
  get length() {
    return thrower();
  }
}

/** What is neither a string nor plain options, whatever is expected. Makers: each value is a new one. */
const odd = [
  () => null,
  () => Symbol('odd'),
  () => 7n,
  () => Number.NaN,
  () => -1,
  () => 1e308,
  () => true,
  () => () => 'called',
  () => thrower,
  () => [],
  () => holed('hole'),
  () => new Array(2 ** 32 - 1),
  () => revoked({}),
  () => revoked([]),
  () => revoked(() => {}),
  () => new Proxy({}, traps),
  () => new Proxy([], traps),
  () => new Proxy(() => {}, traps),
  cycle,
  doubling,
  () => nested(5000),
  () => getter('role'),
  () => getter('toJSON'),
  () => ({ toJSON: thrower }),
  () => ({ toString: thrower, [Symbol.toPrimitive]: thrower }),
  () => getter('then'),
  () => Object.create(Int32Array.prototype),
  () => Object.create(AbortSignal.prototype),
  () => Object.create(String.prototype),
  detached,
  () => new Float64Array(3),
  () => new ArrayBuffer(8),
  () => new DataView(new ArrayBuffer(8)),
  () => new Date(Number.NaN),
  () => new Map([[1, 2]]),
  () => new WeakMap(),
  () => Promise.resolve(1),
  () => new Error('e'),
  () => /r/g,
  () =>
    (function* () {
      yield 1;
    })(),
  () => new String('boxed'),
  () => globalThis,
];

/** @param {Random} random */
export function wrongValue(random) {
  return random.pick(odd)();
}

export function wrongText(random) {
  return random.chance(0.1) ? undefined : wrongValue(random);
}

/** For a prompt: no text, no messages, no ids, or such as cannot be. */
export function wrongPrompt(random) {
  const role = random.pick(['user', '', 5, null, '\ud800', Symbol('role')]);
  return random.pick([
    () => '',
    () => 'half \ud83d',
    () => new Int32Array(),
    () => Int32Array.of(1, -1),
    () => Int32Array.of(1, 2 ** 30),
    () => new OddIds(0),
    () => [wrongValue(random)],
    () => [{ role, content: wrongText(random) }],
    () => [{ role: 'user', content: [wrongValue(random)] }],
    () => [{ role: 'user', content: 'x', extra: random.pick([thrower, Symbol('x')]) }],
    () => holed({ role: 'user', content: 'x' }),
    () => [getter('content')],
    () => new Proxy([{ role: 'user', content: 'x' }], traps),
    () => undefined,
    () => wrongValue(random),
  ])();
}

/** A conversation that no template renders. */
export function wrongMessages(random) {
  for (;;) {
    const given = wrongPrompt(random);
    if (typeof given !== 'undefined' || random.chance(0.2)) return given;
  }
}

/** What is no token id of a model with `vocabSize`. */
export function wrongId(random, vocabSize) {
  return random.pick([
    () => vocabSize,
    () => 1.5,
    () => -1,
    () => '1',
    () => 2 ** 53,
    () => wrongValue(random),
  ])();
}

export function wrongIds(random, vocabSize) {
  return random.pick([
    () => [wrongId(random, vocabSize)],
    () => ({ length: 1 }),
    () => ({ length: 2 ** 53 }),
    () => ({ length: -1 }),
    () => ({
      get length() {
        return thrower();
      },
    }),
    () => 'a text',
    () => undefined,
    () => random.pick([null, 5, 7n, Symbol('ids'), revoked([]), new Proxy([], traps), () => {}]),
  ])();
}

/** Out of every range, or no number. */
const mostlyNumbers = [Number.NaN, -1000, '5', null, 2 ** 60, [], {}, 7n];

/** Options of which at least one cannot be. @param names of options that the call knows */
export function wrongOptions(random, names) {
  const known = random.pick(names);
  return random.pick([
    () => ({ [random.pick(['unknown', '__proto_', 'x'.repeat(100_000), ' '])]: 1 }),
    () => ({ [known]: wrongValueFor(random, known) }),
    () => ({ [known]: wrongValueFor(random, known) }),
    () => ({ [known]: wrongValueFor(random, known) }),
    () => getter(known),
    () => new Proxy({}, traps),
    () => revoked({}),
    () => random.pick([null, 5, 'options', true, 7n, Symbol('options'), [], () => {}, Number.NaN]),
  ])();
}

/** Of these options a number, a text or a list may be right: what is left is not. */
const never = {
  processLogits: [1, 'x', {}, null, []],
  guard: [1, 'x', {}, null, []],
  onChunk: [1, 'x', {}, null, []],
  toolChoice: [5, 'some', {}, { name: 5 }, { name: 'a', more: 1 }, [], null],
  reasoning: [5, 'low', [], null, { budget: -1 }, { budget: '5' }, { effort: 1 }],
  onProgress: [1, 'x', {}, null, []],
  signal: [1, 'x', {}, null, Object.create(AbortSignal.prototype), new EventTarget()],
  logitBias: [[], 5, { x: 1 }, { 1: 'x' }, { 1: 1000 }, { 1e9: 1 }, 'x'],
  stop: ['', [''], [5], holed('x'), 5, '\ud800', new Array(100_000).fill('x'), {}],
  keepFp32: [5, [5], holed('x'), 'x', {}, [null]],
  messages: [5, [5], [null], ['x'], [{ role: 5, content: 'x' }], {}, 'x'],
  tools: [5, {}, 'x', [thrower], [Symbol('tool')], null],
  documents: [5, {}, 'x', ['x'], [[]], null],
  variables: [5, 'x', [], null, { f: thrower }],
  text: [5, null, {}, '', ' ', '\0'],
  promptLengths: [[], [0], [1.5], 5, holed(1), new Array(17).fill(1)],
  samplers: [
    5,
    'topK',
    ['x'],
    ['topK', 'topK'],
    ['minP', 'dry'],
    holed('topK'),
    [null],
    {},
    new Array(2 ** 32 - 1),
  ],
  drySequenceBreakers: [5, 'x', [''], [5], holed('x'), ['\ud800'], new Array(100_000).fill('x'), {}],
  badWords: [
    5,
    'x',
    [''],
    [5],
    [[]],
    holed('x'),
    [['x']],
    [[-1]],
    [[1e9]],
    [holed(1)],
    new Array(2 ** 32 - 1),
    {},
  ],
  earlyStopping: [1, 'x', null, {}, 'Never'],
  ignoreEos: [1, 'x', null, {}],
};

/** Options that are functions. */
const functions = ['onProgress', 'onChunk', 'processLogits', 'guard'];

function wrongValueFor(random, name) {
  if (random.chance(0.3))
    return random.pick(
      [revoked({}), new Proxy({}, traps), Symbol(name), thrower, 7n].filter(
        (one) => !(functions.includes(name) && typeof one === 'function'),
      ),
    );
  const impossible = never[name];
  if (impossible !== undefined) return random.pick(impossible);
  return random.pick(mostlyNumbers.filter((one) => !(typeof one === 'string' && takesText.includes(name))));
}

const takesText = ['system', 'template', 'a', 'b', 'path', 'device', 'dtype', 'kvDtype', 'sensitivity'];
