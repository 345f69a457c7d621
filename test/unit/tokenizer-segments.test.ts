/** Rendered chats in segments: what comes from contents is never a special token, and all is encoded as one text. */
import { describe, expect, test } from 'vitest';
import type { AddedTokenEntry, Component } from '../../lib/tokenizer/definition.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import { ContentRanges, type TextSegment } from '../../lib/tokenizer/segments.js';

const added: (Partial<AddedTokenEntry> & { id: number; content: string })[] = [
  { id: 0, content: '<s>', special: true },
  { id: 0, content: '<S>', special: true, normalized: true },
  { id: 0, content: '§', special: true },
  { id: 0, content: '<tool>', special: false },
  { id: 0, content: '<end>', special: true, lstrip: true, rstrip: true },
];

function pipelineOf(normalizer: Component | null = null): EncodingPipeline {
  const vocab: Record<string, number> = {};
  // As many as there are ids, so that added tokens are numbered from 200 on.
  for (let code = 0; code < 200; ++code) {
    if (code !== 1)
      vocab[code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : `<unused ${code}>`] = code;
  }
  vocab.ab = 1;
  return new EncodingPipeline({
    json: {
      added_tokens: added.map((token) => ({ lstrip: false, rstrip: false, special: true, ...token })),
      normalizer,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: { type: 'BPE', vocab, merges: ['a b'] },
    },
    specialTokens: {},
    chatTemplates: [],
  });
}

/** A content stands in braces of its own. */
function segmentsOf(text: string): TextSegment[] {
  return text.split(/[{}]/).map((part, i) => ({ text: part, content: i % 2 === 1 }));
}

const pipeline = pipelineOf();
const size = 200;
const [s, upper, , tool, end] = [size, size + 1, size + 2, size + 3, size + 4];
const spelled = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0));
const encode = (text: string, from = pipeline): number[] => Array.from(from.encodeSegments(segmentsOf(text)));

describe('segments', () => {
  test.each<[string, number[]]>([
    ['<s>x', [s!, ...spelled('x')]],
    ['{<s>}x', spelled('<s>x')],
    ['{<}s>', spelled('<s>')],
    ['<s{>}', spelled('<s>')],
    ['<{s}>', spelled('<s>')],
    ['<s>{<s>}<s>', [s!, ...spelled('<s>'), s!]],
    ['{a}b', [1]],
    ['{<to}ol>', [tool!]],
    ['{x <end>} <end> {y}', [...spelled('x <end>'), end!, ...spelled('y')]],
    ['', []],
    ['{}<s>{}', [s!]],
  ])('%j', (text, ids) => {
    expect(encode(text)).toEqual(ids);
  });

  test('no normalizer makes a special token, and one that is normalized is found as it is written', () => {
    const lowercase = pipelineOf({ type: 'Lowercase' });
    expect(encode('{<S>}', lowercase)).toEqual(spelled('<s>'));
    expect(encode('<S>', lowercase)).toEqual([upper!]);
  });

  test('without content it is the text', () => {
    const text = 'ab <s> <tool> x<end>  y';
    expect(encode(text)).toEqual(Array.from(pipeline.encode(text, { addSpecialTokens: false })));
  });

  test('a range says of each place whether it is content', () => {
    const ranges = new ContentRanges(segmentsOf('ab{cd}{}ef{g}'));
    const marks = [0, 0, 1, 1, 0, 0, 1];
    for (let from = 0; from < marks.length; ++from) {
      for (let to = from + 1; to <= marks.length; ++to) {
        expect(ranges.overlaps(from, to), `${from} ${to}`).toBe(marks.slice(from, to).includes(1));
      }
    }
  });
});
