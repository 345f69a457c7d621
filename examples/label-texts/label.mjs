// One of your labels for each line of stdin, as JSON lines with all probabilities. No training: the model decides.
//   printf 'I love it\nIt broke at once\n' | node examples/label-texts/label.mjs smollm2-135m praise complaint
import { createInterface } from 'node:readline';
import { Model } from 'kvasir';

const [reference, ...labels] = process.argv.slice(2);
if (labels.length < 2) throw new Error('usage: label.mjs MODEL LABEL LABEL... < texts');
const model = await Model.load(reference);

async function label(text) {
  const prompt = `Text: ${text}\nIs this ${labels.join(' or ')}? It is`;
  const { choice, probabilities } = await model.decide(prompt, { choices: labels.map((name) => ` ${name}`) });
  const shares = Object.entries(probabilities).map(([name, share]) => [name.trim(), Number(share.toFixed(4))]);
  return { text, label: choice.trim(), probabilities: Object.fromEntries(shares) };
}

// Lines that are there together run together; what is printed keeps their order.
const answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== '') answers.push(label(line));
  if (answers.length >= 16) console.log(JSON.stringify(await answers.shift()));
}
for (const answer of answers) console.log(JSON.stringify(await answer));
await model.dispose();
