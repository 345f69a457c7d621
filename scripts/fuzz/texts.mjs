// Random texts through a random definition of a tokenizer: there and back, in pieces, in both threads; and through a model.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Tokenizer } from '../../dist/index.js';
import { randomText } from './content.mjs';

const { tokenizers, models } = JSON.parse(
  gunzipSync(
    readFileSync(new URL('../../test/fixtures/tokenizer-definitions/cases.json.gz', import.meta.url)),
  ).toString(),
);
const definitions = tokenizers.map(({ definition }) => ({ ...definition, model: models[definition.model] }));

async function through(tokenizer, random) {
  for (const text of random.several(6, () => randomText(random, 30))) {
    const ids = await tokenizer.encodeAsync(text, { addSpecialTokens: random.chance(0.5) });
    tokenizer.decode(ids, { skipSpecialTokens: random.chance(0.5) });
    const stream = tokenizer.createStreamingDecoder();
    for (const id of ids) stream.push(id);
    stream.flush();
    tokenizer.encode(text);
    await tokenizer.count(text);
  }
}

export async function fuzzTexts({ random, folder, model }) {
  const text = randomText(random, 20);
  if (text !== '' && text.isWellFormed()) {
    await model.score(`x ${text}`.slice(0, 1000));
    await model.generate(text.slice(0, 300), {
      maxTokens: 4,
      seed: 1,
      stop: [random.pick(['a', '\n', text.slice(0, 5)].filter((one) => one !== '' && one.isWellFormed()))],
    });
  }
  mkdirSync(folder);
  const path = join(folder, 'tokenizer.json');
  writeFileSync(path, JSON.stringify(random.pick(definitions)));
  const tokenizer = await Tokenizer.load({ kind: 'tokenizer-json', path });
  try {
    await through(tokenizer, random);
  } finally {
    await tokenizer.dispose();
  }
}
