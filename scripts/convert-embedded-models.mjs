/**
 * Converts the two embedded models from their published forms into Hugging Face folders under models/.
 * Deterministic: the same input gives the same bytes. Uses nothing but Node itself.
 *
 *   node scripts/convert-embedded-models.mjs <data folder> [output folder, default models/]
 *
 * The data folder holds stories260K.bin, tok512.bin and gpt-nano-sort-model.json.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MIT_TERMS = `Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`;

/** @typedef {{ shape: number[], data: Float32Array }} Tensor */

/** A little-endian reader over a Buffer. */
class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.offset = 0;
  }

  int32() {
    const value = this.bytes.readInt32LE(this.offset);
    this.offset += 4;
    return value;
  }

  float32() {
    const value = this.bytes.readFloatLE(this.offset);
    this.offset += 4;
    return value;
  }

  text(length) {
    const value = this.bytes.toString('utf8', this.offset, this.offset + length);
    this.offset += length;
    return value;
  }

  /** @returns {Float32Array} */
  floats(count) {
    const value = new Float32Array(count);
    for (let i = 0; i < count; i++) value[i] = this.float32();
    return value;
  }
}

/**
 * @param {Record<string, Tensor>} tensors stored in the given order, all F32
 * @returns {Buffer} the bytes of a .safetensors file
 */
function safetensors(tensors) {
  const header = { __metadata__: { format: 'pt' } };
  const chunks = [];
  let offset = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    const count = shape.reduce((product, n) => product * n, 1);
    if (count !== data.length) throw new Error(`${name}: ${data.length} values for the shape ${shape}`);
    const chunk = Buffer.alloc(4 * count);
    data.forEach((value, i) => {
      chunk.writeFloatLE(value, 4 * i);
    });
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + chunk.length] };
    offset += chunk.length;
    chunks.push(chunk);
  }
  let json = JSON.stringify(header);
  // Data begins at a multiple of 8: the header is padded with spaces.
  while (Buffer.byteLength(json) % 8 !== 0) json += ' ';
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  return Buffer.concat([length, Buffer.from(json), ...chunks]);
}

/** Rows of each head from adjacent rotary pairs (2i, 2i + 1) to halves (i, i + headDim / 2). */
function pairsToHalves(data, nHeads, headDim, columns) {
  const out = new Float32Array(data.length);
  for (let head = 0; head < nHeads; head++) {
    for (let row = 0; row < headDim; row++) {
      const target = head * headDim + (row % 2) * (headDim / 2) + (row >> 1);
      const source = head * headDim + row;
      out.set(data.subarray(source * columns, (source + 1) * columns), target * columns);
    }
  }
  return out;
}

function readStoriesHeader(reader) {
  const [dim, hidden, nLayers, nHeads, nKvHeads, signedVocab, maxPositions] = Array.from({ length: 7 }, () =>
    reader.int32(),
  );
  // A negative vocabulary size says that the classifier has its own weights.
  const vocab = Math.abs(signedVocab);
  return {
    dim,
    hidden,
    nLayers,
    nHeads,
    nKvHeads,
    headDim: dim / nHeads,
    vocab,
    tied: signedVocab > 0,
    maxPositions,
  };
}

function storiesConfig({ dim, hidden, nLayers, nHeads, nKvHeads, headDim, vocab, tied, maxPositions }) {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: dim,
    intermediate_size: hidden,
    num_hidden_layers: nLayers,
    num_attention_heads: nHeads,
    num_key_value_heads: nKvHeads,
    head_dim: headDim,
    hidden_act: 'silu',
    vocab_size: vocab,
    max_position_embeddings: maxPositions,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    rope_scaling: null,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: tied,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: 'float32',
  };
}

/** @returns {{ config: object, tensors: Record<string, Tensor> }} */
function readStories(bytes) {
  const reader = new Reader(bytes);
  const header = readStoriesHeader(reader);
  const { dim, hidden, nLayers, nHeads, nKvHeads, headDim, vocab, tied, maxPositions } = header;
  const kvDim = nKvHeads * headDim;
  const layersOf = (...shape) =>
    Array.from({ length: nLayers }, () => ({ shape, data: reader.floats(shape.reduce((a, b) => a * b)) }));

  const embedding = { shape: [vocab, dim], data: reader.floats(vocab * dim) };
  const inputNorm = layersOf(dim);
  const q = layersOf(dim, dim);
  const k = layersOf(kvDim, dim);
  const v = layersOf(kvDim, dim);
  const o = layersOf(dim, dim);
  const ffnNorm = layersOf(dim);
  const gate = layersOf(hidden, dim);
  const down = layersOf(dim, hidden);
  const up = layersOf(hidden, dim);
  const finalNorm = { shape: [dim], data: reader.floats(dim) };
  reader.offset += 2 * maxPositions * (headDim / 2) * 4;

  const tensors = { 'model.embed_tokens.weight': embedding };
  for (let n = 0; n < nLayers; n++) {
    const layer = `model.layers.${n}.`;
    tensors[`${layer}input_layernorm.weight`] = inputNorm[n];
    tensors[`${layer}self_attn.q_proj.weight`] = {
      shape: q[n].shape,
      data: pairsToHalves(q[n].data, nHeads, headDim, dim),
    };
    tensors[`${layer}self_attn.k_proj.weight`] = {
      shape: k[n].shape,
      data: pairsToHalves(k[n].data, nKvHeads, headDim, dim),
    };
    tensors[`${layer}self_attn.v_proj.weight`] = v[n];
    tensors[`${layer}self_attn.o_proj.weight`] = o[n];
    tensors[`${layer}post_attention_layernorm.weight`] = ffnNorm[n];
    tensors[`${layer}mlp.gate_proj.weight`] = gate[n];
    tensors[`${layer}mlp.up_proj.weight`] = up[n];
    tensors[`${layer}mlp.down_proj.weight`] = down[n];
  }
  tensors['model.norm.weight'] = finalNorm;
  if (!tied) tensors['lm_head.weight'] = { shape: [vocab, dim], data: reader.floats(vocab * dim) };
  if (reader.offset !== bytes.length)
    throw new Error(`${bytes.length - reader.offset} bytes left in the weights`);

  return { config: storiesConfig(header), tensors };
}

/** SentencePiece pieces in the names that tokenizer.json uses, with their scores. */
function readPieces(bytes) {
  const reader = new Reader(bytes);
  reader.int32(); // longest piece in bytes
  const pieces = [];
  while (reader.offset < bytes.length) {
    const score = reader.float32();
    const text = reader.text(reader.int32());
    // The exporter wrote a space for SentencePiece's word mark, and a line break around <s> and </s>.
    pieces.push({ score, text: text.replace(/^\n(<\/?s>)\n$/, '$1').replaceAll(' ', '▁') });
  }
  return pieces;
}

/**
 * Every way to split a piece into two pieces, best piece first.
 * Merging always the pair whose result scores highest is SentencePiece's rule; a list of merges in the order
 * of the results' scores says the same.
 */
function mergesOf(pieces) {
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const merges = [];
  for (const [id, { text, score }] of pieces.entries()) {
    const characters = Array.from(text);
    for (let cut = 1; cut < characters.length; cut++) {
      const left = characters.slice(0, cut).join('');
      const right = characters.slice(cut).join('');
      if (ids.has(left) && ids.has(right)) merges.push({ id, score, cut, pair: [left, right] });
    }
  }
  merges.sort((a, b) => b.score - a.score || a.id - b.id || a.cut - b.cut);
  return merges.map(({ pair }) => pair);
}

function addedToken(id, content) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

function storiesTokenizer(pieces) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [addedToken(0, '<unk>'), addedToken(1, '<s>'), addedToken(2, '</s>')],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [
        { SpecialToken: { id: '<s>', type_id: 0 } },
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '<s>', type_id: 1 } },
        { Sequence: { id: 'B', type_id: 1 } },
      ],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map(({ text }, id) => [text, id])),
      merges: mergesOf(pieces),
    },
  };
}

/** @returns {{ config: object, tensors: Record<string, Tensor> }} */
function readNanoGpt(json) {
  const { config, ...stored } = json;
  const tensors = {};
  for (const [name, { shape, data: base64 }] of Object.entries(stored)) {
    // attn.bias is the causal mask, no weight.
    if (/\.attn\.bias$/.test(name)) continue;
    const data = new Reader(Buffer.from(base64, 'base64')).floats(shape.reduce((a, b) => a * b));
    // GPT-2 keeps the linears inside its blocks as [in, out]; the source has [out, in].
    tensors[name] = /\.(c_attn|c_proj|c_fc)\.weight$/.test(name) ? transpose(shape, data) : { shape, data };
  }
  return {
    config: {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      n_embd: config.n_embd,
      n_layer: config.n_layer,
      n_head: config.n_head,
      n_inner: null,
      n_positions: config.block_size,
      n_ctx: config.block_size,
      vocab_size: config.vocab_size,
      activation_function: 'gelu_new',
      layer_norm_epsilon: 1e-5,
      tie_word_embeddings: false,
      embd_pdrop: config.embd_pdrop,
      attn_pdrop: config.attn_pdrop,
      resid_pdrop: config.resid_pdrop,
      bos_token_id: null,
      eos_token_id: null,
      torch_dtype: 'float32',
    },
    tensors,
  };
}

function transpose([rows, columns], data) {
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = data[row * columns + column];
  }
  return { shape: [columns, rows], data: out };
}

/** One token per letter: BPE that has nothing to merge. */
function letterTokenizer(letters) {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])),
      merges: [],
    },
  };
}

function writeModel(folder, files) {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const plain = Buffer.isBuffer(content) || typeof content === 'string';
    writeFileSync(join(folder, name), plain ? content : `${JSON.stringify(content, null, 2)}\n`);
  }
}

function main([data, output = fileURLToPath(new URL('../models', import.meta.url))]) {
  if (!data) {
    console.error('usage: node scripts/convert-embedded-models.mjs <data folder> [output folder]');
    process.exitCode = 2;
    return;
  }
  const stories = readStories(readFileSync(join(data, 'stories260K.bin')));
  const pieces = readPieces(readFileSync(join(data, 'tok512.bin')));
  writeModel(join(output, 'stories-260k'), {
    'config.json': stories.config,
    // The stories are separated by BOS, so it ends one just as EOS does.
    'generation_config.json': { bos_token_id: 1, eos_token_id: [1, 2] },
    'model.safetensors': safetensors(stories.tensors),
    'tokenizer.json': `${JSON.stringify(storiesTokenizer(pieces))}\n`,
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: '<s>',
      eos_token: '</s>',
      unk_token: '<unk>',
      add_bos_token: true,
      add_eos_token: false,
      clean_up_tokenization_spaces: false,
      model_max_length: stories.config.max_position_embeddings,
    },
    LICENSE: `stories260K from "tinyllamas" by Andrej Karpathy, converted to safetensors. MIT License.\n\nCopyright (c) 2023 Andrej\n\n${MIT_TERMS}`,
  });

  const nano = readNanoGpt(JSON.parse(readFileSync(join(data, 'gpt-nano-sort-model.json'), 'utf8')));
  writeModel(join(output, 'nano-gpt-sort'), {
    'config.json': nano.config,
    'generation_config.json': { max_new_tokens: 6, do_sample: false },
    'model.safetensors': safetensors(nano.tensors),
    'tokenizer.json': `${JSON.stringify(letterTokenizer(['A', 'B', 'C']))}\n`,
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      model_max_length: nano.config.n_positions,
    },
    LICENSE: `gpt-nano-sort from "llm-viz" by Brendan Bycroft, converted to safetensors. MIT License.\n\nCopyright (c) 2023-2026 Brendan Bycroft\n\n${MIT_TERMS}`,
  });
}

main(process.argv.slice(2));
