/** Hidden states of a native model's step. */
import { type NativeModel, WANTS_HIDDEN } from '../../lib/native.js';
import type { Part } from './native-model.js';

/** One step; the hidden state [hidden] of every token of its sequences, in order. */
export async function hiddenRows(model: NativeModel, parts: readonly Part[]): Promise<Float32Array[]> {
  const tokens = Int32Array.from(parts.flatMap((part) => [...part.tokens]));
  const rows = tokens.map((_, i) => i);
  const result = await model.step({
    sequences: Int32Array.from(parts, (part) => part.sequence),
    counts: Int32Array.from(parts, (part) => part.tokens.length),
    tokens,
    rows,
    wants: new Uint8Array(rows.length).fill(WANTS_HIDDEN),
    temperatures: new Float32Array(rows.length).fill(1),
    fullLogits: new Uint8Array(rows.length),
    targets: new Int32Array(rows.length).fill(-1),
  });
  return rows.length === 0 ? [] : [...result.hidden!].map((row) => Float32Array.from(row!));
}

/** Of one fresh sequence that is fed whole. */
export async function hiddenOf(model: NativeModel, tokens: readonly number[]): Promise<Float32Array[]> {
  const sequence = model.createSequence();
  try {
    return await hiddenRows(model, [{ sequence, tokens }]);
  } finally {
    model.freeSequence(sequence);
  }
}
