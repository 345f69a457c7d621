// Random blocks of every GGUF type, half of their scales at the ends of what a file can say: the values must be those of the
// `gguf` package, bit for bit. Prints the first value of each type that differs, and at last a line of JSON.
//
// usage: node scripts/sweeps/block-types.mjs BLOCKS [SEED]
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../dist/native.js';
import { fetchPython, root } from './sources.mjs';

const count = Number(process.argv[2]);
if (!(count > 0)) throw new Error('usage: block-types.mjs BLOCKS [SEED]');
const seed = process.argv[3] ?? '1';

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-blocks-'));
process.on('exit', () => rmSync(scratch, { recursive: true }));
const script = join(root, 'scripts', 'sweeps', 'block_types.py');
execFileSync(await fetchPython(), [script, scratch, String(count), seed], { stdio: 'inherit' });

/** What is no number has one pattern of bits, as in the reference's file. */
function bitsOf(values) {
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < bits.length; ++i) if (Number.isNaN(values[i])) bits[i] = 0x7fc00000;
  return bits;
}

const container = await native().openContainer([join(scratch, 'blocks.gguf')]);
const types = new Map();
for (const { name } of container.tensors) {
  const type = name.split('.')[0];
  types.set(type, [...(types.get(type) ?? []), name]);
}
const results = [];
for (const [type, names] of types) {
  const bytes = readFileSync(join(scratch, `${type}.f32`));
  const expected = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  let values = 0;
  let differ = 0;
  for (const name of names) {
    const bits = bitsOf(container.readTensor(name));
    for (let i = 0; i < bits.length; ++i, ++values) {
      if (bits[i] === expected[values]) continue;
      if (differ++ === 0) console.log(JSON.stringify({ name, i, bits: bits[i], expected: expected[values] }));
    }
  }
  console.log(`${type}: ${differ} of ${values} values differ`);
  results.push({ type, values, expected: expected.length, differ });
}
container.close();
console.log(JSON.stringify(results));
