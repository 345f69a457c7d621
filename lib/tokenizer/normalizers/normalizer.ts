/** Makes the normalizer that a definition names. */
import type { AlignedText } from '../aligned-text.js';
import { checked, type CheckedComponent, refused } from '../component.js';
import type { Component } from '../definition.js';
import { normalForm, type NormalForm } from '../unicode/normal-forms.js';
import { bertNormalizer } from './bert.js';
import { charactersMap } from './characters-map.js';
import { lowercase, nmt, spellAllBytes, strip, stripAccents } from './by-character.js';
import { prepend, replace } from './replace.js';

/** Gives back the same object where nothing changes. */
export type Normalizer = (source: AlignedText) => AlignedText;

/** Throws MODEL_FORMAT for what is damaged or no normalizer. */
export function createNormalizer(component: Component): Normalizer {
  return create(checked('normalizer', component));
}

function create(node: CheckedComponent): Normalizer {
  switch (node.type) {
    case 'Sequence': {
      const stages = node.components('normalizers').map(create);
      return (source) => stages.reduce((text, stage) => stage(text), source);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD': {
      const form: NormalForm = node.type;
      return (source) => normalForm(source, form);
    }
    case 'Lowercase':
      return lowercase;
    case 'Strip':
      return (source) => strip(source, node.flag('strip_left'), node.flag('strip_right'));
    case 'StripAccents':
      return stripAccents;
    case 'Nmt':
      return nmt;
    case 'ByteLevel':
      return spellAllBytes;
    case 'Bert':
    case 'BertNormalizer':
      return bertNormalizer(node);
    case 'Prepend': {
      const text = node.text('prepend');
      return (source) => prepend(source, text);
    }
    case 'Replace':
      return replace(node);
    case 'Precompiled':
      return charactersMap(node.text('precompiled_charsmap', ''));
    default:
      throw refused('normalizer', node.type);
  }
}
