// One record for each line of stdin, as JSON lines of a schema of yours: every line of output parses and validates.
//   echo 'Anna, 34, lives in Oslo.' | node examples/json-extractor/extract.mjs person.schema.json smollm2-135m
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Model } from 'kvasir';

const [schemaFile, reference = 'smollm2-135m', maxTokens = '200'] = process.argv.slice(2);
if (schemaFile === undefined) throw new Error('usage: extract.mjs SCHEMA [MODEL] [MAX_TOKENS] < texts');
const schema = JSON.parse(await readFile(schemaFile, 'utf8'));
const model = await Model.load(reference);

async function extract(text) {
  const prompt = `Text: ${text}\nThe same as JSON: `;
  const options = { responseFormat: { type: 'json', schema }, maxTokens: Number(maxTokens), temperature: 0 };
  const { object, closed } = await model.generate(prompt, options);
  if (closed) console.error(`closed early, for want of tokens: ${text}`);
  return object;
}

// Lines that are there together run together; what is printed keeps their order.
const records = [];
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() !== '') records.push(extract(line));
  if (records.length >= 16) console.log(JSON.stringify(await records.shift()));
}
for (const record of records) console.log(JSON.stringify(await record));
await model.dispose();
