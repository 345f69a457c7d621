// How many steps of the model a structured answer takes where what its schema forces is computed several tokens a step, and
// how many token by token; and the time of both. The texts must be equal.
// node scripts/measure/forced-steps.mjs [model, default smollm2-135m] [texts a schema, default 4] [maxTokens, default 120]
import { isMain, runMain } from '../command.mjs';
import { schemas } from './grammar.mjs';

const prompt = 'Anna Berg (anna@example.com), 34, of Oslo, paid 12.50 on 3 May 2024. The same as JSON: ';

async function main([reference = 'smollm2-135m', texts = '4', most = '120']) {
  const { Model } = await import('../../dist/index.js');
  const { Drafting } = await import('../../dist/engine/drafting.js');
  const { DraftedStructure } = await import('../../dist/structure/drafted.js');
  const { Structure } = await import('../../dist/structure/structure.js');
  let steps = 0;
  const record = Drafting.prototype.record;
  Drafting.prototype.record = function (plan, milliseconds) {
    steps++;
    record.call(this, plan, milliseconds);
  };
  const model = await Model.load(reference, { contextLength: 1024 });
  const forces = Object.getOwnPropertyDescriptor(Structure.prototype, 'forces');
  const forced = DraftedStructure.prototype.forced;
  const skip = (isOn) => {
    Object.defineProperty(Structure.prototype, 'forces', isOn ? forces : { ...forces, get: () => false });
    DraftedStructure.prototype.forced = isOn ? forced : () => [];
  };
  const write = async (schema, i) => {
    steps = 0;
    const before = performance.now();
    const sampling = i === 0 ? { temperature: 0 } : { temperature: 0.7, seed: i };
    const options = { maxTokens: Number(most), responseFormat: { type: 'json', schema }, ...sampling };
    const { text, tokens } = await model.generate(prompt, options);
    return { text, tokens: tokens.length, steps, milliseconds: performance.now() - before };
  };
  await write(schemas.person, 0);
  for (const [name, schema] of Object.entries(schemas)) {
    const sums = [false, true].map(() => ({ tokens: 0, steps: 0, milliseconds: 0 }));
    for (let i = 0; i < Number(texts); i++) {
      const written = [];
      for (const isOn of [false, true]) {
        skip(isOn);
        const one = await write(schema, i);
        written.push(one.text);
        for (const key of Object.keys(sums[0])) sums[Number(isOn)][key] += one[key];
      }
      if (written[0] !== written[1])
        throw new Error(`${name}: ${written[0]} is ${written[1]} with steps left out`);
    }
    const [plain, skipped] = sums;
    process.stdout.write(
      `${name.padEnd(14)} ${plain.tokens} tokens: ${plain.steps} steps, ${skipped.steps} with forced tokens together (${(skipped.steps / plain.steps).toFixed(2)}); time ${(skipped.milliseconds / plain.milliseconds).toFixed(2)}\n`,
    );
  }
  await model.dispose();
  return 0;
}

if (isMain(import.meta.url)) await runMain(() => main(process.argv.slice(2)));
