// gpt-nano-sort: its JSON as configuration, tensors and tokenizer.json of Hugging Face.

import { Reader } from './reader.mjs';

/** @typedef {import('./safetensors.mjs').Tensor} Tensor */

/** @returns {{ config: object, tensors: Record<string, Tensor> }} */
export function readNanoGpt(json) {
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
export function letterTokenizer(letters) {
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
