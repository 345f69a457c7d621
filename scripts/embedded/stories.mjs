// stories260K: its checkpoint and its vocabulary, both of llama2.c, as configuration, tensors and tokenizer.json of Hugging Face.

import { Reader } from './reader.mjs';

/** @typedef {import('./safetensors.mjs').Tensor} Tensor */

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
export function readStories(bytes) {
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
export function readPieces(bytes) {
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

export function storiesTokenizer(pieces) {
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
