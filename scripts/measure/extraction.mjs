// Fills extraction schemas with a real model: of 50 schemas at several `maxTokens` how many answers parse and validate.
// node scripts/measure/extraction.mjs [model, default smollm2-135m] [schemas, default 50]
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { isMain, runMain } from '../command.mjs';

const fields = {
  name: { type: 'string', maxLength: 30 },
  age: { type: 'integer', minimum: 0, maximum: 120 },
  city: { type: 'string' },
  price: { type: 'number', minimum: 0 },
  mood: { enum: ['good', 'bad', 'mixed'] },
  paid: { type: 'boolean' },
  day: { type: 'string', format: 'date' },
  tags: { type: 'array', items: { type: 'string' }, maxItems: 3 },
  code: { type: 'string', pattern: '^[A-Z]{2}[0-9]{2}$' },
  note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
};
const names = Object.keys(fields);

/** Two to three members, all different. */
function schemaOf(i) {
  const chosen = [0, 1, 2].slice(0, 2 + (i % 2)).map((j) => names[(i * (j + 1) + j * 3) % names.length]);
  const members = [...new Set(chosen)];
  return {
    type: 'object',
    properties: Object.fromEntries(members.map((name) => [name, fields[name]])),
    required: members,
    additionalProperties: false,
  };
}

const text = 'Anna Berg, 34, of Oslo paid 12.50 for two red cups on 3 May 2024 (code NO12) and was happy.';

async function main([reference = 'smollm2-135m', count = '50']) {
  const { Model } = await import('../../dist/index.js');
  const ajv = new Ajv2020({ strict: false });
  formats.default(ajv);
  const model = await Model.load(reference);
  let failed = 0;
  for (const maxTokens of [20, 30, 60, 120]) {
    let valid = 0;
    let closed = 0;
    let least = 0;
    await Promise.all(
      Array.from({ length: Number(count) }, async (_, i) => {
        const schema = schemaOf(i);
        const ask = (most) =>
          model.generate(`Text: ${text}\nThe same as JSON: `, {
            responseFormat: { type: 'json', schema },
            maxTokens: most,
            temperature: 0,
          });
        // Where the shortest answer is longer, the error says how long.
        const result = await ask(maxTokens).catch((error) => {
          least++;
          return ask(error.details.required);
        });
        if (result.closed) closed++;
        if (ajv.compile(schema)(JSON.parse(result.text)) && result.finishReason === 'stop') valid++;
        else process.stdout.write(`${JSON.stringify(schema)}: ${result.text}\n`);
      }),
    );
    process.stdout.write(
      `maxTokens ${maxTokens}: ${valid} of ${count} parse and validate; ${closed} were closed early, ${least} needed more tokens\n`,
    );
    failed += Number(count) - valid;
  }
  await model.dispose();
  return failed === 0 ? 0 : 1;
}

if (isMain(import.meta.url)) await runMain(() => main(process.argv.slice(2)));
