/** Grammars over a small vocabulary for the tests of structured output: all bytes, some longer tokens, one end token. */
import { native } from '../../lib/native.js';
import type { ResponseFormat } from '../../lib/structure/response-format.js';
import { type CompiledStructure, decoderOf, Structure, Structures } from '../../lib/structure/structure.js';

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
export { bytes as tokenBytes, end as endToken };

export const structures = new Structures(native, {
  size: bytes.length,
  known: bytes.length,
  bytesOf: (id) => bytes[id],
  isSpecial: () => false,
  textOf: () => '',
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

/** A text that random logits write, of at most `most` tokens. */
export function drawn(compiled: CompiledStructure, random: () => number, most: number): string {
  const structure = new Structure(compiled, most, new Set([end]));
  const decoder = decoderOf(compiled);
  let text = '';
  for (let remaining = most; remaining > 0 && !structure.over; remaining--) {
    const { bits } = structure.mask(remaining);
    const allowed = bytes.flatMap((_, id) => (((bits[id >>> 5] >>> (id & 31)) & 1) === 1 ? [id] : []));
    const token = sampled(allowed, random);
    if (token === end) break;
    structure.accept(token);
    text += decoder.push(token);
  }
  if (!structure.complete) throw new Error(`not complete: ${text}`);
  return text + decoder.flush();
}

/** At random logits and a temperature of 1.5. */
function sampled(allowed: readonly number[], random: () => number): number {
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const weights = allowed.map(() => Math.exp(normal() / 1.5));
  let rest = random() * weights.reduce((sum, weight) => sum + weight, 0);
  const at = weights.findIndex((weight) => {
    rest -= weight;
    return rest < 0;
  });
  return allowed[at] ?? allowed[0];
}

export function compiled(format: ResponseFormat): Promise<CompiledStructure> {
  return structures.compile({ format });
}

export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** JSON with a space after each comma and colon. */
export function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`)
    .join(', ')}}`;
}
