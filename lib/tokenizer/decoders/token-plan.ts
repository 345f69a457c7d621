/**
 * Takes a decoder apart into what it makes of each token alone, so that a text can come token by token. Decoders that look at
 * more than one token have no such plan.
 */
import { checked, type CheckedComponent } from '../component.js';
import type { Component } from '../definition.js';
import { prependScheme } from '../pre-tokenizers/pre-tokenizer.js';
import { byteLevelBytes, byteOfToken, replacer, stripToken } from './decoder.js';
import { joinWordPiece } from './word-piece.js';

/** One token on its way: text, or the single byte it stands for. */
type Piece = string | number;

type Step = (piece: string) => Piece;

export interface TokenPlan {
  steps: Step[];
  /** Spaces that are dropped from the front of a text. */
  leadingSpaces: number;
  /** The token's characters stand for bytes, as GPT-2 spells them. */
  byteLevel: boolean;
  /** What the first token of a text reads like, where it differs. */
  first?: Step[];
}

const encoder = new TextEncoder();

/** The bytes that a token adds to a text. */
export function tokenBytes(token: string, steps: readonly Step[], byteLevel: boolean): Uint8Array {
  let piece: Piece = token;
  for (const step of steps) {
    if (typeof piece === 'string') piece = step(piece);
  }
  if (typeof piece === 'number') return Uint8Array.of(piece);
  return byteLevel ? byteLevelBytes(piece) : encoder.encode(piece);
}

/** Undefined: what a token becomes depends on its neighbours. */
export function tokenPlan(decoder: Component | null): TokenPlan | undefined {
  const plan: TokenPlan = { steps: [], leadingSpaces: 0, byteLevel: false };
  if (decoder === null) {
    plan.steps.push((piece) => ` ${piece}`);
    plan.leadingSpaces = 1;
    return plan;
  }
  const node = checked('decoder', decoder);
  const parts = node.type === 'Sequence' ? node.components('decoders') : [node];
  let fused = false;
  for (const part of parts) {
    if (part.type === 'Fuse') fused = true;
    else if (!(fused ? addFused(plan, part) : !plan.byteLevel && addStep(plan, part))) return undefined;
  }
  return plan;
}

/** After `Fuse` a decoder sees the whole text: only dropping spaces from its front can be done token by token. */
function addFused(plan: TokenPlan, part: CheckedComponent): boolean {
  if (part.type !== 'Strip' || part.character('content') !== ' ' || part.count('stop', 0) !== 0) return false;
  plan.leadingSpaces += part.count('start', 0);
  return true;
}

function addToAll(plan: TokenPlan, step: Step): void {
  plan.steps.push(step);
  plan.first?.push(step);
}

function addStep(plan: TokenPlan, part: CheckedComponent): boolean {
  switch (part.type) {
    case 'ByteLevel':
      plan.byteLevel = true;
      return true;
    case 'Replace':
      addToAll(plan, replacer(part));
      return true;
    case 'ByteFallback':
      addToAll(plan, (piece) => byteOfToken(piece) ?? piece);
      return true;
    case 'Strip': {
      const [content, start, stop] = [
        part.character('content'),
        part.count('start', 0),
        part.count('stop', 0),
      ];
      addToAll(plan, (piece) => stripToken(piece, content, start, stop));
      return true;
    }
    case 'Metaspace': {
      const replacement = part.character('replacement', '\u2581');
      const dropped = prependScheme(part) !== 'never' ? '' : ' ';
      plan.first = [...(plan.first ?? plan.steps), (piece) => piece.replaceAll(replacement, dropped)];
      plan.steps.push((piece) => piece.replaceAll(replacement, ' '));
      return true;
    }
    case 'WordPiece': {
      const [prefix, cleans] = [part.text('prefix', '##'), part.flag('cleanup', true)];
      plan.first = [...(plan.first ?? plan.steps), (piece) => joinWordPiece(piece, prefix, cleans, true)];
      plan.steps.push((piece) => joinWordPiece(piece, prefix, cleans, false));
      return true;
    }
    default:
      return false;
  }
}
