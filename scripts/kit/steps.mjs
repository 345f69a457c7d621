// Prefill and decode of a loaded model, step by step through the native interface: no sampling and no queue is in the time.

/** What a step reads and computes at least. `kv`: bytes of the cache for one position. */
export function workOf({ linears, kv }) {
  const sum = (count, wanted) =>
    Object.entries(linears)
      .filter(([name]) => wanted(name))
      .reduce((total, [, { inputs, outputs }]) => total + count(inputs * outputs), 0);
  const inner = (name) => /^layers\./.test(name);
  const head = 'lm_head' in linears ? 'lm_head' : 'embed.tokens';
  const bytes = (n) => (n * 66) / 64;
  const layerBytes = sum(bytes, inner);
  const headBytes = sum(bytes, (name) => name === head);
  const layerOperations = sum((n) => 2 * n, inner);
  const headOperations = sum(
    (n) => 2 * n,
    (name) => name === head,
  );
  return {
    prefill: (tokens) => ({
      bytes: layerBytes + headBytes,
      operations: tokens * layerOperations + headOperations,
    }),
    decode: (batch, depth) => ({
      bytes: layerBytes + headBytes + batch * depth * kv,
      operations: batch * (layerOperations + headOperations),
    }),
  };
}

/** The least seconds for so much work, and of what they are. Undefined where no ceiling was measured. */
export function floorOf({ bytes, operations }, { bandwidth, int8 }) {
  if (!(bandwidth > 0) || !(int8 > 0)) return undefined;
  const memory = bytes / bandwidth;
  const arithmetic = operations / int8;
  return memory > arithmetic
    ? { seconds: memory, of: 'the bandwidth' }
    : { seconds: arithmetic, of: 'the INT8 peak' };
}

function step(native, sequences, counts, tokens, rows) {
  return native.step({
    sequences: Int32Array.from(sequences),
    counts: Int32Array.from(counts),
    tokens: Int32Array.from(tokens),
    rows: Int32Array.from(rows),
    temperatures: new Float32Array(rows.length).fill(1),
    fullLogits: new Uint8Array(rows.length),
    targets: new Int32Array(rows.length).fill(-1),
  });
}

const token = (i) => (i * 7919 + 13) % 256;

async function prefill(native, sequence, length) {
  for (let at = 0; at < length; at += native.info.stepTokens) {
    const count = Math.min(native.info.stepTokens, length - at);
    const tokens = Array.from({ length: count }, (_, i) => token(at + i));
    await step(native, [sequence], [count], tokens, at + count === length ? [count - 1] : []);
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/** Seconds of a prompt: the median of `repetitions` after one that does not count. */
export async function timePrefill(native, length, repetitions) {
  const samples = [];
  for (let i = 0; i <= repetitions; i++) {
    const sequence = native.createSequence();
    const begun = performance.now();
    await prefill(native, sequence, length);
    if (i > 0) samples.push((performance.now() - begun) / 1000);
    native.freeSequence(sequence);
  }
  return { seconds: median(samples), samples };
}

/** Seconds of one decode step of `batch` sequences with `depth` positions each; the first steps do not count. */
export async function timeDecode(native, batch, depth, steps) {
  const sequences = Array.from({ length: batch }, () => native.createSequence());
  try {
    for (const sequence of sequences) await prefill(native, sequence, Math.max(1, depth));
    const ones = sequences.map(() => 1);
    const rows = sequences.map((_, i) => i);
    const samples = [];
    // The second step of a shape is recorded, the third is the first that is replayed.
    const warm = 4;
    for (let i = 0; i < steps + warm; i++) {
      const begun = performance.now();
      await step(
        native,
        sequences,
        ones,
        sequences.map((_, j) => token(i + j)),
        rows,
      );
      if (i >= warm) samples.push((performance.now() - begun) / 1000);
    }
    return { seconds: median(samples), samples: [Math.min(...samples), Math.max(...samples)] };
  } finally {
    for (const sequence of sequences) native.freeSequence(sequence);
  }
}
