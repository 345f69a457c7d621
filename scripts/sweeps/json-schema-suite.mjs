// The official test suite of JSON Schema, draft 2020-12, as grammars: how many schemas compile, and of those which valid
// instances are refused and which others are taken, token by token, compact and with a space after each comma and colon.
// Prints every difference with its schema, and a line of JSON.
//
// usage: node scripts/sweeps/json-schema-suite.mjs [folder of its files]
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isKvasirError } from '../../dist/errors.js';
import { native } from '../../dist/native.js';
import { Structures } from '../../dist/structure/structure.js';
import { fetchSchemaSuite } from './sources.mjs';

const pieces = ['{"', '": ', '":', '", "', ', ', '"}', 'null', 'true', 'foo', 'bar', '[]', '{}', '.0'];
const tokens = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...pieces.map((piece) => new TextEncoder().encode(piece)),
];
const structures = new Structures(native, {
  size: tokens.length,
  known: tokens.length,
  bytesOf: (id) => tokens[id],
  isSpecial: () => false,
  textOf: () => '',
  endTokens: new Set(),
});

/** JSON with a space after each comma and colon. */
function spaced(value) {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`);
  return `{${members.join(', ')}}`;
}

/** At each place the longest token. */
function spelled(text) {
  const rest = Buffer.from(text);
  const ids = [];
  for (let at = 0; at < rest.length; at += tokens[ids.at(-1)].length) {
    let best = rest[at];
    for (let id = 256; id < tokens.length; id++) {
      const fits = tokens[id].every((byte, i) => rest[at + i] === byte);
      if (fits && tokens[id].length > tokens[best].length) best = id;
    }
    ids.push(best);
  }
  return ids;
}

function takes({ grammar }, text) {
  const matcher = grammar.createMatcher();
  const bits = new Uint32Array(Math.ceil(tokens.length / 32));
  for (const id of spelled(text)) {
    matcher.mask(bits, 1e6);
    const allowed = ((bits[id >>> 5] >>> (id & 31)) & 1) === 1;
    if (matcher.accept(id) !== allowed) throw new Error(`mask and matcher differ: ${text}`);
    if (!allowed) return false;
  }
  return matcher.canEnd;
}

const folder = process.argv[2] ?? (await fetchSchemaSuite());
const sum = { schemas: 0, compiled: 0, valid: 0, refused: 0, invalid: 0, taken: 0 };
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .sort()) {
  for (const { description, schema, tests } of JSON.parse(readFileSync(join(folder, file), 'utf8'))) {
    ++sum.schemas;
    const compiled = await structures.compile({ format: { type: 'json', schema } }).catch((error) => {
      if (!isKvasirError(error)) throw error;
      console.log(JSON.stringify({ file, description, error: error.message }));
      return undefined;
    });
    if (compiled === undefined) continue;
    ++sum.compiled;
    for (const { data, valid, description: about } of tests) {
      ++sum[valid ? 'valid' : 'invalid'];
      const taken = [JSON.stringify(data), spaced(data)].map((text) => takes(compiled, text));
      if (taken.every((one) => one === valid)) continue;
      ++sum[valid ? 'refused' : 'taken'];
      console.log(JSON.stringify({ file, description, about, valid, taken, data, schema }).slice(0, 1200));
    }
  }
}
console.log(JSON.stringify(sum));
