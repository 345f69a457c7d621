// A tokenizer.json as GGUF says it: the metadata that a converter writes, and the definition without what GGUF has no words for,
// so that the reference can be asked for the same. That is: normalizers of byte-level vocabularies other than NFC, what is
// added around a text, and added tokens that are looked for by a written U+2581.

const types = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

function tokensOf({ model, added_tokens: added }) {
  const tokens = [];
  const kinds = [];
  const put = (id, token, kind) => {
    tokens[id] = token;
    kinds[id] = kind;
  };
  for (const [token, id] of Object.entries(model.vocab)) {
    const isByte = model.byte_fallback && /^<0x[0-9A-F]{2}>$/.test(token);
    put(id, token, isByte ? types.byte : token === model.unk_token ? types.unknown : types.normal);
  }
  for (const { id, content, special } of added) put(id, content, special ? types.control : types.userDefined);
  for (let id = 0; id < tokens.length; ++id)
    if (tokens[id] === undefined) put(id, `[PAD${id}]`, types.unused);
  return { tokens, kinds };
}

/** As strings cross the border: UTF-8 one after the other, and where each begins, uint32 [strings + 1]. */
function packed(strings) {
  const parts = strings.map((string) => Buffer.from(string));
  const offsets = new Uint32Array(strings.length + 1);
  parts.forEach((part, i) => {
    offsets[i + 1] = offsets[i] + part.length;
  });
  return { bytes: new Uint8Array(Buffer.concat(parts)), offsets };
}

/** SentencePiece merges by the score of the piece that comes out: the earlier its merge, the higher. */
function scoresOf({ merges }, tokens) {
  const ranks = new Map();
  merges.forEach((pair, rank) => {
    const piece = Array.isArray(pair) ? pair.join('') : pair.replace(' ', '');
    if (!ranks.has(piece)) ranks.set(piece, rank);
  });
  return Float64Array.from(tokens, (token) => -(ranks.get(token) ?? merges.length));
}

/**
 * @param {string | undefined} pre as in `vocabularies`
 * @returns {{ metadata: object, metadataArray: (key: string) => unknown }} what a container gives
 */
export function ggufMetadata(definition, pre) {
  const { tokens, kinds } = tokensOf(sayableInGguf(definition, pre));
  const arrays = { tokens, token_type: Float64Array.from(kinds) };
  if (pre === undefined) arrays.scores = scoresOf(definition.model, tokens);
  else arrays.merges = definition.model.merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : pair));
  const prefixed = JSON.stringify(definition.normalizer).includes('Prepend');
  const metadata = {
    'tokenizer.ggml.model': pre === undefined ? 'llama' : 'gpt2',
    ...(pre === undefined ? { 'tokenizer.ggml.add_space_prefix': prefixed } : { 'tokenizer.ggml.pre': pre }),
    'tokenizer.ggml.add_bos_token': false,
    'tokenizer.ggml.add_eos_token': false,
  };
  for (const [name, { length }] of Object.entries(arrays)) {
    metadata[`tokenizer.ggml.${name}`] = {
      longArray: true,
      type: typeof arrays[name][0] === 'string' ? 'string' : 'number',
      length,
    };
  }
  const metadataArray = (key) => {
    const values = arrays[key.replace('tokenizer.ggml.', '')];
    return values instanceof Float64Array ? values : packed(values);
  };
  return { metadata, metadataArray };
}

/** What of the definition is left. */
export function sayableInGguf(definition, pre) {
  const added = definition.added_tokens.filter(
    ({ content }) => pre !== undefined || !content.includes('\u2581'),
  );
  // Names whose texts are normalized mean NFC; there is none for another form.
  const isNamed = pre === undefined || definition.normalizer?.type === 'NFC';
  const normalizer = isNamed ? definition.normalizer : null;
  return { ...definition, added_tokens: added, normalizer, post_processor: null };
}
