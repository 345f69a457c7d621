/** Grammars over a small vocabulary for the tests of structured output: all bytes, some longer tokens, one end token. */
import { native } from '../../lib/native.js';
import type { ResponseFormat } from '../../lib/structure/response-format.js';
import { type CompiledStructure, Structure, Structures } from '../../lib/structure/structure.js';

const pieces = [
  '", "',
  '": "',
  '":',
  '{"',
  '"}',
  '"name',
  ' "',
  ', ',
  'true',
  'null',
  'ab',
  'abc',
  '12',
  '-1',
  '}]',
  '[{"',
  '\\n',
  'é',
  '€uro',
];
const bytes = [
  ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
  ...pieces.map((piece) => new TextEncoder().encode(piece)),
  new Uint8Array(0),
];
const end = bytes.length - 1;

export const structures = new Structures(native, {
  size: bytes.length,
  known: bytes.length,
  bytesOf: (id) => bytes[id],
  isSpecial: () => false,
  endTokens: new Set([end]),
});

/** Tokens of a text: each time the longest that there is, or single bytes. */
function tokensOf(text: string, longest: boolean): number[] {
  const rest = new TextEncoder().encode(text);
  const tokens: number[] = [];
  for (let at = 0; at < rest.length; ) {
    let best = rest[at];
    for (let id = 256; longest && id < end; id++) {
      const fits = bytes[id].every((byte, i) => rest[at + i] === byte);
      if (fits && bytes[id].length > bytes[best].length) best = id;
    }
    tokens.push(best);
    at += bytes[best].length;
  }
  return tokens;
}

/** Whether the masks let a text through token by token, in both spellings, and let it end. */
export function accepts(compiled: CompiledStructure, text: string): boolean {
  const [a, b] = [false, true].map((longest) => acceptsTokens(compiled, tokensOf(text, longest)));
  if (a !== b) throw new Error(`spelled by bytes ${a}, by tokens ${b}: ${text}`);
  return a;
}

function acceptsTokens(compiled: CompiledStructure, tokens: readonly number[]): boolean {
  const matcher = compiled.grammar.createMatcher();
  const bits = new Uint32Array(Math.ceil(bytes.length / 32));
  for (const token of tokens) {
    matcher.mask(bits, 1e6);
    const allowed = ((bits[token >>> 5] >>> (token & 31)) & 1) === 1;
    if (matcher.accept(token) !== allowed) throw new Error(`mask and matcher differ about token ${token}`);
    if (!allowed) return false;
  }
  return matcher.canEnd;
}

/** A text of tokens drawn evenly among those allowed, of at most `most` tokens. */
export function drawn(compiled: CompiledStructure, random: () => number, most: number): string {
  const structure = new Structure(compiled, most, true);
  const decoder = structure.decoder();
  let text = '';
  for (let remaining = most; remaining > 0 && !structure.over; remaining--) {
    const { bits } = structure.mask(remaining);
    const allowed = bytes.flatMap((_, id) => (((bits[id >>> 5] >>> (id & 31)) & 1) === 1 ? [id] : []));
    const token = allowed[Math.floor(random() * allowed.length)];
    if (token === end) break;
    structure.accept(token);
    text += decoder.push(token);
  }
  if (!structure.complete) throw new Error(`not complete: ${text}`);
  return text + decoder.flush();
}

export function compiled(format: ResponseFormat): Promise<CompiledStructure> {
  return structures.compile(format);
}

export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
