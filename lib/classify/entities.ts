/** From labels of tokens to entities: neighbours of one label are joined, as `transformers` joins them. */

export interface Classification {
  label: string;
  /** The probability of the label; of regression what the classifier gives. */
  score: number;
  /** Of token classification: UTF-16 units of the text, from and to, and what stands there. */
  start?: number;
  end?: number;
  text?: string;
}

export interface TokenLabel {
  label: string;
  score: number;
  start: number;
  end: number;
}

/** Nothing. */
const OUTSIDE = 'O';

/** A label without the B- or I- before it, and whether it begins an entity. */
function tagOf(label: string): { tag: string; begins: boolean } {
  const prefix = /^[BI]-/.exec(label);
  return { tag: prefix ? label.slice(2) : label, begins: label.startsWith('B-') };
}

/** Entities in the order of the text, without those outside of all. */
export function entitiesOf(
  text: string,
  tokens: readonly TokenLabel[],
  aggregation: 'none' | 'simple',
): Classification[] {
  const found = aggregation === 'none' ? tokens : joined(tokens);
  return found
    .filter(({ label }) => label !== OUTSIDE)
    .map((entity) => ({ ...entity, text: text.slice(entity.start, entity.end) }));
}

function joined(tokens: readonly TokenLabel[]): TokenLabel[] {
  const groups: TokenLabel[][] = [];
  for (const token of tokens) {
    const { tag, begins } = tagOf(token.label);
    const group = groups.at(-1);
    if (group !== undefined && !begins && tagOf((group.at(-1) as TokenLabel).label).tag === tag)
      group.push(token);
    else groups.push([token]);
  }
  return groups.map((group) => ({
    label: tagOf(group[0].label).tag,
    score: group.reduce((sum, { score }) => sum + score, 0) / group.length,
    start: group[0].start,
    end: (group.at(-1) as TokenLabel).end,
  }));
}
