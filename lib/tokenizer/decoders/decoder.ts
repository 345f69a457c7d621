/** Decoders: token spellings in, pieces of text out, which are put one after the other. */
import { byteOfCharacter } from '../byte-spelling.js';
import { checked, type CheckedComponent, refused } from '../component.js';
import type { Component } from '../definition.js';
import { createFinder, Matches } from '../patterns/finder.js';
import { timedFinder } from '../patterns/timed.js';
import { prependScheme } from '../pre-tokenizers/pre-tokenizer.js';
import { checkTextLength } from '../work.js';
import { joinWordPiece, cleanUp } from './word-piece.js';

export type Decoder = (tokens: readonly string[]) => string[];

/** Without a decoder there is a space between tokens. Throws MODEL_FORMAT. */
export function createDecoder(component: Component | null): Decoder {
  return component === null ? (tokens) => [joined(tokens, ' ')] : create(checked('decoder', component));
}

function create(node: CheckedComponent): Decoder {
  switch (node.type) {
    case 'Sequence': {
      const stages = node.components('decoders').map(create);
      return (tokens) => stages.reduce((pieces: string[], stage) => stage(pieces), [...tokens]);
    }
    case 'ByteLevel':
      return decodeByteLevel;
    case 'ByteFallback':
      return decodeByteFallback;
    case 'Fuse':
      return (tokens) => [joined(tokens)];
    case 'Metaspace':
      return metaspaceDecoder(node);
    case 'WordPiece': {
      const [prefix, cleans] = [node.text('prefix', '##'), node.flag('cleanup', true)];
      return (tokens) => tokens.map((token, i) => joinWordPiece(token, prefix, cleans, i === 0));
    }
    case 'BPEDecoder': {
      const suffix = node.text('suffix', '</w>');
      return (tokens) =>
        tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '));
    }
    case 'CTC':
      return ctcDecoder(node);
    case 'Strip':
      return stripDecoder(node);
    case 'Replace':
      return replaceDecoder(node);
    default:
      throw refused('decoder', node.type);
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** A token with a character that spells no byte is text. */
export function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; ++i) {
    const byte = byteOfCharacter(token.charCodeAt(i));
    if (byte < 0) return Buffer.from(token);
    bytes[i] = byte;
  }
  return bytes;
}

const decodeByteLevel: Decoder = (tokens) => [utf8.decode(Buffer.concat(tokens.map(byteLevelBytes)))];

/** The byte that a token of the form <0xFF> stands for, or undefined. */
export function byteOfToken(token: string): number | undefined {
  const match = /^<0x([+0-9A-Fa-f][0-9A-Fa-f])>$/.exec(token);
  return match ? Number.parseInt(match[1]!, 16) : undefined;
}

/** A run of byte tokens is one text; when it is no UTF-8, each of them is U+FFFD. */
const decodeByteFallback: Decoder = (tokens) => {
  const pieces: string[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length === 0) return;
    try {
      pieces.push(new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(Uint8Array.from(run)));
    } catch {
      for (const _ of run) pieces.push('\uFFFD');
    }
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOfToken(token);
    if (byte !== undefined) {
      run.push(byte);
      continue;
    }
    flush();
    pieces.push(token);
  }
  flush();
  return pieces;
};

function metaspaceDecoder(node: CheckedComponent): Decoder {
  const replacement = node.character('replacement', '\u2581');
  const drops = prependScheme(node) !== 'never';
  return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && drops ? '' : ' '));
}

function ctcDecoder(node: CheckedComponent): Decoder {
  const pad = node.text('pad_token', '<pad>');
  const delimiter = node.text('word_delimiter_token', '|');
  const cleans = node.flag('cleanup', true);
  return (tokens) =>
    tokens
      .filter((token, i) => i === 0 || token !== tokens[i - 1])
      .map((token) => {
        const text = token.replaceAll(pad, '');
        return cleans ? cleanUp(text).replaceAll(delimiter, ' ') : text;
      })
      .filter((text) => text !== '');
}

/** One text of many. Throws LIMIT_EXCEEDED where it is too long. */
export function joined(pieces: readonly string[], separator = ''): string {
  let length = separator.length * pieces.length;
  for (const piece of pieces) length += piece.length;
  checkTextLength(length);
  return pieces.join(separator);
}

/** `content`: one character. */
export function stripToken(token: string, content: string, start: number, stop: number): string {
  let from = 0;
  for (let n = 0; n < start && token.startsWith(content, from); ++n) from += content.length;
  let to = token.length;
  for (let n = 0; n < stop && to - content.length >= from && token.endsWith(content, to); ++n) {
    to -= content.length;
  }
  return token.slice(from, to);
}

function stripDecoder(node: CheckedComponent): Decoder {
  const content = node.character('content');
  const [start, stop] = [node.count('start', 0), node.count('stop', 0)];
  return (tokens) => tokens.map((token) => stripToken(token, content, start, stop));
}

/** Puts a text in the place of every match. */
export function replacer(node: CheckedComponent): (token: string) => string {
  const finder = timedFinder(createFinder(node));
  const content = node.text('content');
  const matches = new Matches();
  return (token) => {
    if (token === '') return token;
    matches.clear();
    finder.find(token, 0, token.length, matches);
    if (!matches.hasMatch) return token;
    let text = '';
    for (let i = 0; i < matches.count; ++i) {
      text += matches.matched(i) ? content : token.slice(matches.start(i), matches.end(i));
      checkTextLength(text.length);
    }
    return text;
  };
}

function replaceDecoder(node: CheckedComponent): Decoder {
  const replace = replacer(node);
  return (tokens) => tokens.map(replace);
}
