// What masks cost: for each of some schemas the time to compile it and, while instances are written at random, the time of
// each mask, over the vocabulary of a model that is here.
// node scripts/measure/grammar.mjs [model, or the path of a tokenizer.json; default smollm2-135m] [texts a schema, default 20]
import { isMain, runMain } from '../command.mjs';
import { Random } from '../fuzz/random.mjs';
import { median } from '../peers/statistics.mjs';

const closed = (properties, required = Object.keys(properties)) => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
});
const text = { type: 'string' };
const person = closed({
  name: text,
  age: { type: 'integer', minimum: 0, maximum: 150 },
  email: { type: 'string', format: 'email' },
});

/** Kinds that applications ask for. */
export const schemas = {
  anything: true,
  person,
  people: { type: 'array', items: person, maxItems: 20 },
  tool: closed(
    { query: text, limit: { type: 'integer', minimum: 1, maximum: 50 }, sort: { enum: ['asc', 'desc'] } },
    ['query'],
  ),
  configuration: {
    type: 'object',
    properties: {
      host: { type: 'string', format: 'hostname' },
      port: { type: 'integer', minimum: 1, maximum: 65535 },
      tags: { type: 'array', items: { type: 'string', maxLength: 20 } },
      limits: { type: 'object', additionalProperties: { type: 'number', minimum: 0 } },
    },
    required: ['host', 'port'],
  },
  tree: {
    $ref: '#/$defs/node',
    $defs: { node: closed({ value: text, children: { type: 'array', items: { $ref: '#/$defs/node' } } }) },
  },
  event: closed({
    id: { type: 'string', format: 'uuid' },
    at: { type: 'string', format: 'date-time' },
    kind: { enum: ['created', 'changed', 'deleted'] },
    note: { type: 'string', minLength: 1, maxLength: 200 },
  }),
  code: closed({
    code: { type: 'string', pattern: '^[A-Z]{2,4}-[0-9]{3,8}$' },
    price: { type: 'number', minimum: 0 },
  }),
};

function quantile(sorted, q) {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

const random = new Random(1);

/** Times in microseconds of each mask of one text; tokens are drawn evenly. */
function write(structure, most, times) {
  for (let remaining = most; remaining > 0 && !structure.over; remaining--) {
    const before = process.hrtime.bigint();
    const { bits, allowed } = structure.mask(remaining);
    times.push(Number(process.hrtime.bigint() - before) / 1000);
    let place = random.below(allowed);
    for (let id = 0; id < bits.length * 32; id++) {
      if ((bits[id >>> 5] >>> (id & 31)) & 1 && place-- === 0) {
        structure.accept(id);
        break;
      }
    }
  }
}

async function tokenizerOf(reference) {
  const { Model, Tokenizer } = await import('../../dist/index.js');
  if (reference.endsWith('.json')) {
    const tokenizer = await Tokenizer.load({ kind: 'tokenizer-json', path: reference });
    return { tokenizer, dispose: () => tokenizer.dispose() };
  }
  const model = await Model.load(reference);
  return { tokenizer: model.tokenizer, dispose: () => model.dispose() };
}

async function main([reference = 'smollm2-135m', texts = '20']) {
  const { native } = await import('../../dist/native.js');
  const { Structure, Structures } = await import('../../dist/structure/structure.js');
  const { structureVocabularyOf } = await import('../../dist/vocabulary.js');
  const { tokenizer, dispose } = await tokenizerOf(reference);
  const vocabulary = structureVocabularyOf(tokenizer, tokenizer.vocabSize, []);
  const structures = new Structures(native, vocabulary);
  await structures.compile({ format: { type: 'choice', choices: ['a'] } });
  const all = [];
  const compiles = [];
  process.stdout.write(`vocabulary of ${vocabulary.known} tokens\n`);
  for (const [name, schema] of Object.entries(schemas)) {
    const before = performance.now();
    const compiled = await structures.compile({ format: { type: 'json', schema } });
    const compile = performance.now() - before;
    compiles.push(compile);
    const times = [];
    for (let i = 0; i < Number(texts); i++) write(new Structure(compiled, 200, new Set()), 200, times);
    all.push(...times);
    const sorted = times.sort((a, b) => a - b);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    process.stdout.write(
      `${name.padEnd(14)} compile ${compile.toFixed(1)} ms; ${times.length} masks: mean ${mean.toFixed(1)} us, median ${quantile(sorted, 0.5).toFixed(1)}, p99 ${quantile(sorted, 0.99).toFixed(1)}, most ${sorted[sorted.length - 1].toFixed(1)}\n`,
    );
  }
  all.sort((a, b) => a - b);
  const mean = all.reduce((sum, time) => sum + time, 0) / all.length;
  process.stdout.write(
    `all: mean ${mean.toFixed(1)} us, p99 ${quantile(all, 0.99).toFixed(1)} us; compile median ${median(compiles).toFixed(1)} ms\n`,
  );
  await dispose();
  return 0;
}

if (isMain(import.meta.url)) await runMain(() => main(process.argv.slice(2)));
