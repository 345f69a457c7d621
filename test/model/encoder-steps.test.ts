/** What encoders ask of a step, at the native border: token types, sequences that come whole, hidden states without a head. */
import { expect, it } from 'vitest';
import { WANTS_HIDDEN, WANTS_LOGITS } from '../../lib/native.js';
import { type Described, describeAt, withModel } from './native-model.js';

const tokens = [5, 9, 300, 44];

/** The stories model seen whole and without a head; its token table is that of the types too. */
async function encoder(): Promise<Described> {
  const stories = await describeAt('stories-260k');
  const { spec, tensors } = stories;
  return {
    ...stories,
    spec: {
      ...spec,
      attentions: spec.attentions.map((attention) => ({ ...attention, causal: false })),
      embedding: { ...spec.embedding, types: spec.vocabSize },
      head: 'none',
    },
    tensors: { ...tensors, 'embed.types': tensors['embed.tokens']! },
  };
}

it('types are of each token, hidden states of the wanted ones', async () => {
  await withModel(await encoder(), { contextLength: 128, kvCapacity: 512 }, async (native) => {
    const step = async (ids: readonly number[], types?: readonly number[], wants = WANTS_HIDDEN) => {
      const sequence = native.createSequence();
      try {
        const result = await native.step({
          sequences: Int32Array.of(sequence),
          counts: Int32Array.of(ids.length),
          tokens: Int32Array.from(ids),
          ...(types && { types: Int32Array.from(types) }),
          rows: Int32Array.of(0),
          wants: Uint8Array.of(wants),
          temperatures: Float32Array.of(0),
          fullLogits: Uint8Array.of(0),
          targets: Int32Array.of(-1),
        });
        return [...result.hidden![0]!];
      } finally {
        native.freeSequence(sequence);
      }
    };
    const first = await step(tokens);
    expect(first.some((value) => value !== 0)).toBe(true);
    expect(await step(tokens, [0, 0, 0, 0])).toEqual(first);
    // Row 0 sees the type of the last token, and that token.
    expect(await step(tokens, [0, 0, 0, 7])).not.toEqual(first);
    expect(await step([...tokens.slice(0, 3), 45])).not.toEqual(first);
    await expect(step(tokens, [0, 0, 0, 512])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(step(tokens, [0, 0, 0])).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(step(tokens, undefined, WANTS_LOGITS)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

it('nothing is appended to a sequence that was seen whole', async () => {
  await withModel(await encoder(), { contextLength: 128, kvCapacity: 512 }, async (native) => {
    const sequence = native.createSequence();
    const append = (count: number) =>
      native.step({
        sequences: Int32Array.of(sequence),
        counts: Int32Array.of(count),
        tokens: new Int32Array(count).fill(5),
        rows: new Int32Array(0),
        temperatures: new Float32Array(0),
        fullLogits: new Uint8Array(0),
        targets: new Int32Array(0),
      });
    await expect(append(129)).rejects.toMatchObject({ code: 'CONTEXT_OVERFLOW' });
    await append(128);
    native.truncateSequence(sequence, 100);
    await expect(append(1)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(native.sequenceLength(sequence)).toBe(100);
  });
});
