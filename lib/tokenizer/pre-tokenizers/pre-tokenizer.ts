/** Makes the pre-tokenizer that a definition names. */
import { checked, type CheckedComponent, refused } from '../component.js';
import type { Component } from '../definition.js';
import { createFinder, scanningFinder } from '../patterns/finder.js';
import { numericSet, punctuationSet, whiteSpaceSet } from '../unicode/classes.js';
import { readBehavior, splitter } from './behavior.js';
import { characterFinder, fixedLength, unicodeScripts, wordFinder } from './by-character.js';
import type { PreTokenizer } from './pieces.js';
import { gpt2Splitter, metaspace, prefixSpace, type PrependScheme, spellPieces } from './rewriting.js';

export interface PreTokenization {
  stages: PreTokenizer[];
  /** The last stage would only spell bytes as characters: it is left to the model. */
  spellsBytes: boolean;
  /** Asks where a piece begins in the original. */
  needsOrigins: boolean;
}

const spaceFinder = characterFinder((point) => whiteSpaceSet.has(point));
const digitFinder = characterFinder((point) => numericSet.has(point));
const punctuationFinder = characterFinder((point) => punctuationSet.has(point));

/** `mayLeaveSpelling`: whether the model spells bytes by itself. Throws MODEL_FORMAT. */
export function createPreTokenization(
  component: Component | null,
  mayLeaveSpelling: boolean,
): PreTokenization {
  const result: PreTokenization = { stages: [], spellsBytes: false, needsOrigins: false };
  if (component === null) return result;
  addStages(checked('pre-tokenizer', component), result);
  if (mayLeaveSpelling && result.stages.at(-1) === spellPieces) {
    result.stages.pop();
    result.spellsBytes = true;
  }
  return result;
}

function addStages(node: CheckedComponent, result: PreTokenization): void {
  if (node.type === 'Sequence') {
    for (const stage of node.components('pretokenizers')) addStages(stage, result);
  } else if (node.type === 'Metaspace') {
    addMetaspace(node, result);
  } else {
    result.stages.push(...stagesOf(node));
  }
}

function stagesOf(node: CheckedComponent): PreTokenizer[] {
  switch (node.type) {
    case 'ByteLevel':
      return [
        ...(node.flag('add_prefix_space', true) ? [prefixSpace] : []),
        ...(node.flag('use_regex', true) ? [gpt2Splitter] : []),
        spellPieces,
      ];
    case 'Split':
      return [splitter(createFinder(node), readBehavior(node), node.flag('invert', false))];
    case 'Punctuation':
      return [splitter(punctuationFinder, readBehavior(node, 'Isolated'))];
    case 'Whitespace':
      return [splitter(wordFinder, 'Removed', true)];
    case 'WhitespaceSplit':
      return [splitter(spaceFinder, 'Removed')];
    case 'BertPreTokenizer':
      return [splitter(spaceFinder, 'Removed'), splitter(punctuationFinder, 'Isolated')];
    case 'Digits':
      return [splitter(digitFinder, node.flag('individual_digits', false) ? 'Isolated' : 'Contiguous')];
    case 'CharDelimiterSplit': {
      const delimiter = node.character('delimiter').codePointAt(0)!;
      return [
        splitter(
          characterFinder((point) => point === delimiter),
          'Removed',
        ),
      ];
    }
    case 'UnicodeScripts':
      return [unicodeScripts];
    case 'FixedLength': {
      const length = node.count('length', 5);
      if (length === 0) throw node.wrong('length', 'a whole number from 1 on');
      return [fixedLength(length)];
    }
    default:
      throw refused('pre-tokenizer', node.type);
  }
}

function addMetaspace(node: CheckedComponent, result: PreTokenization): void {
  const replacement = node.character('replacement', '\u2581');
  const scheme = prependScheme(node);
  result.needsOrigins ||= scheme === 'first';
  result.stages.push(metaspace(replacement, scheme));
  if (!node.flag('split', true)) return;
  const marks = scanningFinder((text, at, to) =>
    at + replacement.length <= to && text.startsWith(replacement, at) ? at + replacement.length : -1,
  );
  result.stages.push(splitter(marks, 'MergedWithNext'));
}

/** Old files say `add_prefix_space` instead. */
export function prependScheme(node: CheckedComponent): PrependScheme {
  const prefixed = node.flag('add_prefix_space', true);
  const scheme = node.text('prepend_scheme', prefixed ? 'always' : 'never');
  if (scheme !== 'first' && scheme !== 'never' && scheme !== 'always') {
    throw node.wrong('prepend_scheme', 'first, never or always');
  }
  if (!prefixed && scheme !== 'never')
    throw node.wrong('prepend_scheme', 'never, as add_prefix_space is false');
  return scheme;
}
