/**
 * Passages of documents for a prompt: numbered, so that an answer can cite them, and no more of them than a budget of tokens
 * holds. What does not fit is left out and said so.
 */
import { boolean, integer, invalidOption, parseOptions, type Rule, reading, signal, text } from '../given.js';

export interface Passage {
  text: string;
  /** Stands beside the number. Default: none. */
  title?: string;
}

export interface PackOptions {
  /** Tokens that all passages may take together, with their numbers and titles. */
  maxTokens: number;
  /** Cut the first passage that does not fit at the end of a sentence or word, where a quarter of it fits. Default true. */
  cut?: boolean;
  /** Stands before the passages, and counts. Default: that the answer cites them by number. '': nothing. */
  instruction?: string;
  signal?: AbortSignal;
}

export interface PackedPassage {
  /** In the text, from 1. */
  number: number;
  /** In what was given, from 0. */
  index: number;
  /** Only its beginning is there. */
  cut: boolean;
}

export interface PackedPassages {
  /** To stand in a message before the question. */
  text: string;
  /** Of `text`. */
  tokens: number;
  passages: PackedPassage[];
  /** Indices of passages that did not fit. */
  leftOut: number[];
}

/** What counts tokens: a model's tokenizer. */
export interface TokenCounter {
  count(text: string, options?: { addSpecialTokens?: boolean; signal?: AbortSignal }): Promise<number>;
}

const standard = 'Answer from these passages. Cite each one that you use by its number, such as [1].';
const mostPassages = 10_000;

const rules = {
  maxTokens: integer(1, 2 ** 31 - 1),
  cut: boolean,
  instruction: text,
  signal,
} satisfies Record<keyof PackOptions, Rule>;

/**
 * Takes passages in their order, the best first, as long as they fit; one that does not is skipped, and a later one that does
 * is taken.
 * @throws INVALID_OPTION, also where the instruction alone does not fit; or the signal's reason.
 */
export async function packPassages(
  tokenizer: TokenCounter,
  passages: readonly (Passage | string)[],
  given: PackOptions,
): Promise<PackedPassages> {
  const options = parseOptions(rules, given, 'packPassages') as PackOptions;
  const { maxTokens, cut = true, instruction = standard, signal: aborts } = options;
  if (maxTokens === undefined) throw invalidOption('maxTokens', maxTokens, rules.maxTokens.allowed);
  const list = readPassages(passages);
  const count = (whole: string): Promise<number> =>
    tokenizer.count(whole, { addSpecialTokens: false, signal: aborts });
  const packer = new Packer(count, maxTokens, instruction);
  if ((await count(instruction)) > maxTokens)
    throw invalidOption('maxTokens', maxTokens, 'enough for the instruction');
  for (const [index, passage] of list.entries()) {
    if (await packer.add(passage, index)) continue;
    if (cut && !packer.hasCut) await packer.addBeginning(passage, index);
  }
  return packer.finish(list.length);
}

class Packer {
  readonly #passages: PackedPassage[] = [];
  #text: string;
  hasCut = false;

  constructor(
    readonly count: (text: string) => Promise<number>,
    readonly most: number,
    instruction: string,
  ) {
    this.#text = instruction;
  }

  /** The whole text is counted: tokens may reach over the seams. */
  async add(passage: Passage, index: number, cut = false): Promise<boolean> {
    const number = this.#passages.length + 1;
    const head = passage.title === undefined ? `[${number}]` : `[${number}] ${passage.title}`;
    const next = [...(this.#text === '' ? [] : [this.#text]), `${head}\n${passage.text.trim()}`].join('\n\n');
    if ((await this.count(next)) > this.most) return false;
    this.#text = next;
    this.#passages.push({ number, index, cut });
    return true;
  }

  /** The longest beginning that fits, found by halving; at least a quarter. */
  async addBeginning({ title, text }: Passage, index: number): Promise<void> {
    const ends = [...text.matchAll(/(?<=[.!?。！？]["')\]]?)\s|\s(?=\S)/g)].map((match) => match.index);
    let low = 0;
    let high = ends.length;
    const begins = (i: number): Passage => ({ title, text: `${text.slice(0, ends[i]).trim()} …` });
    const fits = async (i: number): Promise<boolean> => {
      const tried = new Packer(this.count, this.most, this.#text);
      for (const one of this.#passages) tried.#passages.push(one);
      return tried.add(begins(i), index);
    };
    while (low < high) {
      const middle = (low + high) >> 1;
      if (await fits(middle)) low = middle + 1;
      else high = middle;
    }
    if (low === 0 || ends[low - 1] < text.length / 4) return;
    const sentence = ends
      .slice(0, low)
      .findLastIndex((end) => /[.!?。！？]["')\]]?$/.test(text.slice(0, end)));
    const isFar = sentence < 0 || ends[sentence] < ends[low - 1] / 2;
    this.hasCut = await this.add(begins(isFar ? low - 1 : sentence), index, true);
  }

  async finish(all: number): Promise<PackedPassages> {
    const taken = new Set(this.#passages.map(({ index }) => index));
    const leftOut = Array.from({ length: all }, (_, i) => i).filter((i) => !taken.has(i));
    return { text: this.#text, tokens: await this.count(this.#text), passages: this.#passages, leftOut };
  }
}

/** Throws INVALID_OPTION. */
function readPassages(given: unknown): Passage[] {
  return reading('The passages', () => {
    if (!Array.isArray(given) || given.length > mostPassages) {
      throw invalidOption('passages', given, `an array of at most ${mostPassages} texts or { text, title }`);
    }
    return Array.from(given as unknown[], (one, i) => {
      const { text: body, title } = (
        typeof one === 'string' ? { text: one } : (one ?? {})
      ) as Partial<Passage>;
      if (!isWhole(body)) throw invalidOption(`passages[${i}].text`, body, 'a well-formed string');
      if (title !== undefined && !isWhole(title)) {
        throw invalidOption(`passages[${i}].title`, title, 'a well-formed string');
      }
      return { text: body, title };
    });
  });
}

function isWhole(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed();
}

/** Which passages a text cites, in the order of their first mention: `[2]`, `[1, 3]`. Numbers of no passage are left out. */
export function citedPassages(
  answer: string,
  { passages }: Pick<PackedPassages, 'passages'>,
): PackedPassage[] {
  const cited = new Set<PackedPassage>();
  for (const [, numbers] of answer.matchAll(/\[(\d+(?:\s*[,;]\s*\d+)*)\]/g)) {
    for (const number of numbers.split(/[,;]/)) {
      const found = passages.find((one) => one.number === Number(number));
      if (found) cited.add(found);
    }
  }
  return [...cited];
}
