/** What decoders may make of tokens is bounded: no ids and no decoder give a text that no string can be. */
import { expect, test, vi } from 'vitest';
import { stripToken } from '../../lib/tokenizer/decoders/decoder.js';
import type { Component } from '../../lib/tokenizer/definition.js';
import { StreamingDecoder } from '../../lib/tokenizer/streaming-decoder.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';

/** Two tokens: 'a' and a long one. */
function table(decoder: Component | null, long = 1000): TokenTable {
  const bytes = Buffer.from(`a${'b'.repeat(long)}`);
  const offsets = Uint32Array.of(0, 1, 1 + long);
  return new TokenTable({ bytes: new Uint8Array(bytes), offsets, special: new Uint8Array(2), decoder });
}

const replace = (part: string, content: string): Component => ({
  type: 'Replace',
  pattern: { String: part },
  content,
});
const sequence = (...decoders: Component[]): Component => ({ type: 'Sequence', decoders });
const limit = expect.objectContaining({ code: 'LIMIT_EXCEEDED' });

test('many ids, and long tokens many times', () => {
  const fused = table({ type: 'Fuse' });
  expect(fused.decode([0, 1], false)).toBe(`a${'b'.repeat(1000)}`);
  expect(() => fused.decode(new Int32Array(2 ** 21 + 1), false)).toThrow(limit);
  expect(() => fused.decode(new Int32Array(70_000).fill(1), false)).toThrow(limit);
  expect(() => table(null).decode(new Int32Array(70_000).fill(1), false)).toThrow(limit);
});

test('decoders that make much of little', () => {
  const grown = replace('a', 'c'.repeat(100_000));
  for (const decoder of [
    grown,
    sequence(grown, { type: 'Fuse' }),
    sequence(grown, replace('c', 'd'.repeat(1000))),
  ]) {
    const of = table(decoder);
    expect(() => of.decode(new Int32Array(1000), false)).toThrow(limit);
    expect(of.decode([1], false)).toBe('b'.repeat(1000));
  }
  expect(() => table(sequence(grown, replace('c', 'dddd'.repeat(20)))).bytesOf(0)).toThrow(limit);
  expect(table(grown).bytesOf(0).length).toBe(100_000);
});

test('characters are stripped one by one, from both ends', () => {
  const of = (token: string, start: number, stop: number): string =>
    stripToken(token, '\ud83d\ude00', start, stop);
  const [face, two] = ['\ud83d\ude00', '\ud83d\ude00\ud83d\ude00'];
  expect([of(`${two}a${two}`, 1, 1), of(`${two}a${two}`, 5, 5), of(two, 1, 5), of(face, 5, 5)]).toEqual([
    `${face}a${face}`,
    'a',
    '',
    '',
  ]);
  expect([stripToken('  a ', ' ', 1, 0), stripToken('  a ', ' ', 0, 9), stripToken('a', ' ', 1, 1)]).toEqual([
    ' a ',
    '  a',
    'a',
  ]);
});

test('a stream of many tokens takes time by its length, whatever its decoder looks at', () => {
  const ctc: Component = { type: 'CTC', pad_token: '<pad>', word_delimiter_token: '|', cleanup: true };
  const suffixed: Component = { type: 'BPEDecoder', suffix: 'b' };
  for (const decoder of [
    ctc,
    suffixed,
    sequence({ type: 'Fuse' }, { type: 'Strip', content: 'b', start: 0, stop: 1 }),
  ]) {
    const of = table(decoder, 2);
    const ids = Array.from({ length: 5000 }, (_, i) => ((i * i) % 3) & 1);
    const expected = of.decode(ids, false);
    let decoded = 0;
    const decode = of.decode.bind(of);
    vi.spyOn(of, 'decode').mockImplementation((part, skips) => {
      decoded += part.length;
      return decode(part, skips);
    });
    const stream = new StreamingDecoder(of);
    expect(() => stream.push(7)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    const text = ids.map((id) => stream.push(id)).join('') + stream.flush();
    expect(text).toBe(expected);
    expect(decoded).toBeLessThan(100 * ids.length);
  }
});

test('a decoder that writes anew what was handed out loses no more than that', () => {
  const stream = new StreamingDecoder(table(sequence({ type: 'Fuse' }, replace('ab', 'c')), 2));
  expect([0, 1, 1, 0, 0, 1].map((id) => stream.push(id))).toEqual(['a', 'b', 'bb', 'a', 'a', 'b']);
  expect(stream.flush()).toBe('');
});
