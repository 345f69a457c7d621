/** A template of texts and special tokens, one for a single text and one for a pair. */
import type { CheckedComponent } from '../component.js';
import type { Encoding, Processor } from './encoding.js';

type Piece = { sequence: 0 | 1; type: number } | { ids: Int32Array; type: number };

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function typeOf(node: CheckedComponent, name: string, fields: Fields): number {
  const type = fields.type_id ?? 0;
  if (Number.isSafeInteger(type) && (type as number) >= 0) return type as number;
  throw node.wrong(name, 'a template with whole type ids');
}

function readPiece(node: CheckedComponent, name: string, piece: unknown): Piece {
  const { Sequence, SpecialToken } = fieldsOf(piece);
  if (Sequence !== undefined) {
    const fields = fieldsOf(Sequence);
    if (fields.id !== 'A' && fields.id !== 'B') throw node.wrong(name, 'a template of sequences A and B');
    return { sequence: fields.id === 'A' ? 0 : 1, type: typeOf(node, name, fields) };
  }
  const fields = fieldsOf(SpecialToken);
  const known = fieldsOf(node.fields.special_tokens);
  const id = fields.id;
  const ids = typeof id === 'string' && Object.hasOwn(known, id) ? fieldsOf(known[id]).ids : undefined;
  if (!Array.isArray(ids) || !ids.every((one) => Number.isSafeInteger(one) && one >= 0)) {
    throw node.wrong(name, `a template whose tokens have ids; ${JSON.stringify(id)} has none`);
  }
  return { ids: Int32Array.from(ids), type: typeOf(node, name, fields) };
}

function readTemplate(node: CheckedComponent, name: string): Piece[] {
  const pieces = node.fields[name];
  if (!Array.isArray(pieces)) throw node.wrong(name, 'a list');
  return pieces.map((piece) => readPiece(node, name, piece));
}

export function templateProcessor(node: CheckedComponent): Processor {
  const single = readTemplate(node, 'single');
  const pair = node.fields.pair === undefined ? [] : readTemplate(node, 'pair');
  return (encodings, addSpecialTokens) => {
    const template = encodings.length === 1 ? single : pair;
    return template.flatMap((piece): Encoding[] => {
      if ('sequence' in piece) {
        const encoding = encodings[piece.sequence];
        if (encoding === undefined) throw node.wrong('single', 'a template of sequence A');
        return [{ ...encoding, typeIds: new Int32Array(encoding.ids.length).fill(piece.type) }];
      }
      if (!addSpecialTokens) return [];
      const { ids } = piece;
      const typeIds = new Int32Array(ids.length).fill(piece.type);
      return [{ ids, typeIds, offsets: encodings[0]?.offsets && new Int32Array(2 * ids.length) }];
    });
  };
}
