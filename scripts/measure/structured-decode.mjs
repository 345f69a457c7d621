// What structured output costs while it decodes: the processor time of the whole process a token, free and structured, in
// turns, for one request and for a batch of 8. Median ratio of the rounds.
// node scripts/measure/structured-decode.mjs [model, default smollm2-135m] [tokens, default 48] [rounds, default 7]
import { isMain, runMain } from '../command.mjs';
import { median } from '../peers/statistics.mjs';

const people = {
  type: 'array',
  minItems: 40,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 20 },
      age: { type: 'integer', minimum: 0, maximum: 150 },
    },
    required: ['name', 'age'],
    additionalProperties: false,
  },
};

async function main([reference = 'smollm2-135m', tokens = '48', rounds = '7']) {
  const { Model } = await import('../../dist/index.js');
  const model = await Model.load(reference, { threads: 1 });
  const prompt = 'A list of people as JSON: ';
  /** Microseconds of processor time a token. */
  const time = async (batch, structured) => {
    const options = {
      temperature: 0.8,
      ignoreEos: true,
      ...(structured ? { responseFormat: { type: 'json', schema: people } } : {}),
    };
    const before = process.cpuUsage();
    let made = 0;
    await Promise.all(
      Array.from({ length: batch }, async (_, seed) => {
        // The schema asks for more than so many tokens: each stops where the others do.
        for await (const { tokens: some } of model.generate(prompt, { ...options, seed, maxTokens: 2000 })) {
          made += some.length;
          if (made >= batch * Number(tokens)) break;
        }
      }),
    );
    const { user, system } = process.cpuUsage(before);
    return (user + system) / made;
  };
  for (const batch of [1, 8]) {
    await time(batch, true);
    await time(batch, false);
    const ratios = [];
    const all = { free: [], structured: [] };
    for (let round = 0; round < Number(rounds); round++) {
      const free = await time(batch, false);
      const structured = await time(batch, true);
      ratios.push(structured / free);
      all.free.push(free);
      all.structured.push(structured);
    }
    process.stdout.write(
      `batch of ${batch}: free ${(median(all.free) / 1000).toFixed(2)} ms a token, structured ${(median(all.structured) / 1000).toFixed(2)}, ratio ${median(ratios).toFixed(3)} (${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})\n`,
    );
  }
  await model.dispose();
  return 0;
}

if (isMain(import.meta.url)) await runMain(() => main(process.argv.slice(2)));
