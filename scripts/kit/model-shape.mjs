// Writes a GGUF file (Q8_0) of a Llama's shape with random weights: only its speed means anything. Its tokenizer is the
// least that loads: one token a byte, the rest unused.
import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';

const llama = { heads: 32, kvHeads: 8, vocabulary: 128_256, context: 8192 };
export const shapes = {
  '1b': { ...llama, width: 2048, layers: 16, headDim: 64, feedForward: 8192, tied: true },
  '8b': { ...llama, width: 4096, layers: 32, headDim: 128, feedForward: 14_336, tied: false },
  'one-layer': {
    ...llama,
    width: 2048,
    layers: 1,
    headDim: 64,
    feedForward: 8192,
    tied: true,
    vocabulary: 1024,
  },
  tiny: {
    ...{ width: 64, layers: 2, heads: 2, kvHeads: 1, headDim: 32, feedForward: 128, tied: true },
    ...{ vocabulary: 300, context: 256 },
  },
};

const blockBytes = 34;
const blockValues = 32;
const alignment = 32;

/** Bytes of the KV cache for one position, INT8. */
export const kvBytes = ({ layers, kvHeads, headDim }) => layers * kvHeads * (2 * headDim + 8);

/** Name, rows and columns of each linear. */
export function linearsOf({ width, layers, heads, kvHeads, headDim, feedForward, vocabulary, tied }) {
  const linears = [['token_embd', vocabulary, width]];
  if (!tied) linears.push(['output', vocabulary, width]);
  for (let layer = 0; layer < layers; layer++) {
    const add = (name, rows, columns) => linears.push([`blk.${layer}.${name}`, rows, columns]);
    add('attn_q', heads * headDim, width);
    add('attn_k', kvHeads * headDim, width);
    add('attn_v', kvHeads * headDim, width);
    add('attn_output', width, heads * headDim);
    add('ffn_gate', feedForward, width);
    add('ffn_up', feedForward, width);
    add('ffn_down', width, feedForward);
  }
  return linears;
}

function normsOf({ layers }) {
  const inner = Array.from({ length: layers }, (_, i) => [`blk.${i}.attn_norm`, `blk.${i}.ffn_norm`]);
  return ['output_norm', ...inner.flat()];
}

/** GPT-2's spelling of the 256 bytes: printable ones as they are, the others from U+0100 on. */
function byteTokens() {
  const printable = (byte) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

class Header {
  #pieces = [];
  u32(value) {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    this.#pieces.push(bytes);
  }
  u64(value) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    this.#pieces.push(bytes);
  }
  f32(value) {
    const bytes = Buffer.alloc(4);
    bytes.writeFloatLE(value);
    this.#pieces.push(bytes);
  }
  text(value) {
    const bytes = Buffer.from(value);
    this.u64(bytes.length);
    this.#pieces.push(bytes);
  }
  // Types: 4 uint32, 5 int32, 6 float32, 8 string, 9 array.
  entry(key, type, value) {
    this.text(key);
    this.u32(type);
    if (type === 8) this.text(value);
    else if (type === 6) this.f32(value);
    else this.u32(value);
  }
  array(key, type, values) {
    this.text(key);
    this.u32(9);
    this.u32(type);
    this.u64(values.length);
    for (const value of values) type === 8 ? this.text(value) : this.u32(value);
  }
  bytes() {
    return Buffer.concat(this.#pieces);
  }
}

function addMetadata(header, shape) {
  const bytes = byteTokens();
  const unused = Array.from({ length: shape.vocabulary - 256 }, (_, i) => (i === 2 ? 'th' : `unused${i}`));
  header.entry('general.architecture', 8, 'llama');
  header.entry('llama.context_length', 4, shape.context);
  header.entry('llama.embedding_length', 4, shape.width);
  header.entry('llama.block_count', 4, shape.layers);
  header.entry('llama.feed_forward_length', 4, shape.feedForward);
  header.entry('llama.attention.head_count', 4, shape.heads);
  header.entry('llama.attention.head_count_kv', 4, shape.kvHeads);
  header.entry('llama.rope.dimension_count', 4, shape.headDim);
  header.entry('llama.rope.freq_base', 6, 500_000);
  header.entry('llama.attention.layer_norm_rms_epsilon', 6, 1e-5);
  header.entry('tokenizer.ggml.model', 8, 'gpt2');
  header.entry('tokenizer.ggml.pre', 8, 'smollm');
  header.array('tokenizer.ggml.tokens', 8, [...bytes, ...unused]);
  // A hundred thousand control tokens would be searched for in every text: two are.
  header.array(
    'tokenizer.ggml.token_type',
    5,
    [...bytes, ...unused].map((_, i) => (i === 256 || i === 257 ? 3 : 1)),
  );
  header.array('tokenizer.ggml.merges', 8, ['t h']);
  header.entry('tokenizer.ggml.bos_token_id', 4, 256);
  header.entry('tokenizer.ggml.eos_token_id', 4, 257);
  return 17;
}

/** Random Q8_0 blocks, all of one scale: values of about width^-0.5. */
function randomBlocks(count) {
  const blocks = randomFillSync(Buffer.alloc(count * blockBytes));
  const scale = 3307; // 3.0e-4 as binary16
  for (let i = 0; i < count; i++) blocks.writeUInt16LE(scale, i * blockBytes);
  return blocks;
}

const padded = (bytes) => Math.ceil(bytes / alignment) * alignment;

export function writeModel(path, shape) {
  const linears = linearsOf(shape).map(([name, rows, columns]) => ({
    ...{ name, dims: [columns, rows], type: 8 },
    bytes: (rows * columns * blockBytes) / blockValues,
  }));
  const norms = normsOf(shape).map((name) => ({
    name,
    dims: [shape.width],
    type: 0,
    bytes: 4 * shape.width,
  }));
  const tensors = [...linears, ...norms];
  const metadata = new Header();
  const entries = addMetadata(metadata, shape);
  const header = new Header();
  header.u32(0x46554747); // 'GGUF'
  header.u32(3);
  header.u64(tensors.length);
  header.u64(entries);
  const table = new Header();
  let offset = 0;
  for (const { name, dims, type, bytes } of tensors) {
    table.text(`${name}.weight`);
    table.u32(dims.length);
    for (const dim of dims) table.u64(dim);
    table.u32(type);
    table.u64(offset);
    offset += padded(bytes);
  }
  const head = Buffer.concat([header.bytes(), metadata.bytes(), table.bytes()]);
  const file = openSync(path, 'w');
  try {
    writeSync(file, head);
    writeSync(file, Buffer.alloc(padded(head.length) - head.length));
    writeTensors(file, tensors, shape.width);
  } finally {
    closeSync(file);
  }
}

function writeTensors(file, tensors, width) {
  const blocks = randomBlocks(1 << 18);
  const ones = Buffer.from(new Float32Array(width).fill(1).buffer);
  const write = (bytes) => {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
  };
  for (const { type, bytes } of tensors) {
    if (type === 0) write(ones);
    else {
      for (let left = bytes; left > 0; left -= blocks.length) {
        write(left < blocks.length ? blocks.subarray(0, left) : blocks);
      }
    }
    write(Buffer.alloc(padded(bytes) - bytes));
  }
}
