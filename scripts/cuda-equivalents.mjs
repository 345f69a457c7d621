/**
 * Changes of the CUDA kernels after which they do the same: no test can notice them, and mutate-cuda.mjs fails when one
 * does. `code` stands once in the file, with `from` in it. Where it does not any more, think again.
 */
export const equivalents = [
  {
    file: 'attention_s8.cuh',
    code: '(a, rows, warp, chunk, first_page * kPage, n,',
    from: 'warp',
    reason: 'warps swap the positions whose scores they make, and a barrier comes before anybody reads one',
  },
  {
    file: 'attention_store.cu',
    code: 'largest = fmaxf(AbsOf(v[j]), largest);',
    from: '[j]',
    reason: 'a maximum of all j in another order',
  },
  {
    file: 'linear_f32.cu',
    code: 'own_inputs = SharedPtr<float>(inputs) + warp * kRows * kSumBlock;',
    from: 'warp',
    reason: 'warps swap the shared memory that each has for itself',
  },
  {
    file: 'logits.cu',
    code: 'const int64_t at = base + i * kThreads + thread;',
    from: 'thread',
    reason: 'threads swap keys in pairs; a key carries its id, and the keys of a block are a set',
  },
  {
    file: 'logits.cu',
    code: 'sum += mine[warp];',
    from: '[warp]',
    reason: 'an integer sum over all warps in another order',
  },
  {
    file: 'logits.cu',
    code: 'count += keys[i] >= higher ? 1 : 0;',
    from: '[i]',
    reason: 'counts all i in another order',
  },
  {
    file: 'logits.cu',
    code: 'kept[thread] = kMissing;',
    from: '[thread]',
    reason: "all places are cleared, each by another thread, and two barriers come before their keys' stores",
  },
  {
    file: 'logits.cu',
    code: 'kept[at] = keys[i];',
    from: '[at]',
    reason: 'the kept keys are a set: their places are free, and at ^ 1 are 256 different places too',
  },
  {
    file: 'logits.cu',
    code: 'keys[i] = a.parts[row * a.n_in + at];',
    from: '[row * a.n_in + at]',
    reason: 'n_in is a multiple of 256, so threads swap keys in pairs, and the keys of a block are a set',
  },
  {
    file: 'logits.cu',
    code: 'present += keys[i] != kMissing ? 1 : 0;',
    from: '[i]',
    reason: 'counts all i in another order',
  },
  {
    file: 'logits.cu',
    code: 'const uint64_t key = kept[thread];',
    from: '[thread]',
    reason: 'threads swap keys in pairs; a key finds its place by itself, or goes into a set',
  },
  {
    file: 'logits.cu',
    code: 'a.kept[(row * gridDim.x + blockIdx.x) * kKept + thread] = key;',
    from: '[(row * gridDim.x + blockIdx.x) * kKept + thread]',
    reason: 'the keys that a block hands on are a set',
  },
  {
    file: 'logits.cu',
    code: 'place += static_cast<uint64_t>(kept[i]) > key ? 1 : 0;',
    from: '[i]',
    reason: 'counts all i in another order',
  },
  {
    file: 'norm.cuh',
    code: 'pairs[g * (kGroup / 2) + lane]',
    from: '[g * (kGroup / 2) + lane]',
    reason:
      'lanes swap their sums in pairs; each level of the tree of xor-shuffles adds the same two, and + commutes',
  },
  {
    file: 'norm.cuh',
    code: 'tile[16 * i + lane % 16]',
    from: '[16 * i + lane % 16]',
    reason:
      'lanes swap their sums in pairs; each level of the tree of xor-shuffles adds the same two, and + commutes',
  },
  {
    file: 'rotate.cuh',
    code: 'bits = max(bits, __float_as_int(v[i]) & 0x7fffffff);',
    from: '[i]',
    reason: 'a maximum of all i in another order',
  },
  {
    file: 'softmax.cuh',
    code: 'max = fmaxf(values[j], max);',
    from: '[j]',
    reason: 'a maximum of all j in another order, which leaves NaN out',
  },
];
