/**
 * Text to token ids: added tokens, normalizer, pre-tokenizer, model, post-processor. The steps are those of
 * `@huggingface/tokenizers`; they are driven from here so that a long text can be given up half-way, words can be
 * remembered, and stretches of text can be encoded without looking for special tokens.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import { KvasirError } from '../errors.js';
import { AddedTokenSplitter, type Section } from './added-tokens.js';
import { adoptTables, type BpeModel, bpeTables } from './bpe-tables.js';
import { type ContentMarks, removeMarks } from './content-marks.js';
import {
  type AddedTokenEntry,
  exactPreTokenizer,
  separateByteSpelling,
  type TokenizerDefinition,
  type TokenizerJson,
} from './definition.js';
import { spellBytes } from './byte-spelling.js';
import { IdBuffer } from './id-buffer.js';

export interface PipelineOptions {
  /** Add what the post-processor adds around a text. */
  addSpecialTokens: boolean;
  /** The text is a rendered chat whose marked stretches are plain text. */
  marks?: ContentMarks;
  /** Asked between words; true gives up. */
  stopped?: () => boolean;
}

/** Thrown when `stopped` says so. */
export class EncodingStopped extends Error {}

const rememberedWords = 20_000;
/** Longer words are rarely met twice. */
const longestRemembered = 64;
const wordsBetweenChecks = 256;
const metaspace = '\u2581';
/** Spelling of the tokens that stand for one byte. */
const byteTokens = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** The parts of the library's tokenizer that are used here; each is a callable object there. */
interface Engine {
  normalizer: ((text: string) => string) | null;
  pre_tokenizer: ((text: string, options: { section_index: number }) => string[]) | null;
  model: BpeModel & ((words: string[]) => string[]) & { end_of_word_suffix?: string; fuse_unk: boolean };
  post_processor: ((tokens: string[], pair: null, addSpecialTokens: boolean) => { tokens: string[] }) | null;
  token_to_id(token: string): number | undefined;
}

export class EncodingPipeline {
  readonly #engine: Engine;
  readonly #raw: AddedTokenSplitter;
  readonly #normalized: AddedTokenSplitter;
  /** The same for rendered chats: special tokens are matched as the template spells them, never after normalizing. */
  readonly #chatRaw: AddedTokenSplitter;
  readonly #markedRaw: AddedTokenSplitter;
  readonly #chatNormalized: AddedTokenSplitter;
  readonly #words = new Map<string, Int32Array>();
  readonly #before: number[];
  readonly #after: number[];
  readonly #splitsAtMetaspace: boolean;
  readonly #spellsBytes: boolean;

  constructor(readonly definition: TokenizerDefinition) {
    const { json } = definition;
    const { split, spellsBytes } = separateByteSpelling(exactPreTokenizer(json.pre_tokenizer));
    const tables = bpeTables(json.model);
    const model = tables === undefined ? plainModel(json.model) : { ...json.model, vocab: {}, merges: [] };
    this.#engine = new Tokenizer({ ...json, model, pre_tokenizer: split }, {}) as unknown as Engine;
    if (tables !== undefined)
      adoptTables(this.#engine.model, tables, json.model.unk_token, json.added_tokens);
    this.#spellsBytes = spellsBytes;
    const normalize = this.#engine.normalizer;
    const late = (token: AddedTokenEntry): boolean =>
      normalize !== null && (token.normalized ?? !token.special);
    const asWritten = (token: AddedTokenEntry): [string, AddedTokenEntry] => [token.content, token];
    const asNormalized = (token: AddedTokenEntry): [string, AddedTokenEntry] => [
      normalize!(token.content),
      token,
    ];
    const tokens = json.added_tokens;
    const plain = tokens.filter((token) => !token.special);
    this.#raw = new AddedTokenSplitter(tokens.filter((token) => !late(token)).map(asWritten));
    this.#normalized = new AddedTokenSplitter(tokens.filter(late).map(asNormalized));
    this.#chatRaw = new AddedTokenSplitter(
      tokens.filter((token) => token.special || !late(token)).map(asWritten),
    );
    this.#markedRaw = new AddedTokenSplitter(plain.filter((token) => !late(token)).map(asWritten));
    this.#chatNormalized = new AddedTokenSplitter(plain.filter(late).map(asNormalized));
    [this.#before, this.#after] = this.#surroundings();
    this.#splitsAtMetaspace = this.#mayCutAtMetaspace();
  }

  /** Token strings by id; holes where the vocabulary has none. */
  get vocabulary(): readonly (string | undefined)[] {
    return this.#engine.model.vocab;
  }

  idOf(token: string): number | undefined {
    return this.#engine.token_to_id(token);
  }

  /** Throws EncodingStopped. */
  encode(text: string, options: PipelineOptions): Int32Array {
    const ids = new IdBuffer();
    const whole = replaceLoneSurrogates(text);
    if (options.addSpecialTokens) ids.push(this.#before);
    if (options.marks) this.#encodeChat(whole, options.marks, ids, options);
    else this.#encodeSections(this.#raw.split(whole), this.#normalized, ids, options);
    if (options.addSpecialTokens) ids.push(this.#after);
    return ids.take();
  }

  #encodeChat(text: string, marks: ContentMarks, ids: IdBuffer, options: PipelineOptions): void {
    const sections = this.#chatRaw.split(text).flatMap((section): Section[] => {
      if (typeof section !== 'string' || !section.includes(marks.mark)) return [section];
      // Taking the marks out may complete an added token that is not special, and that one counts.
      return this.#markedRaw.split(removeMarks(section, marks));
    });
    this.#encodeSections(sections, this.#chatNormalized, ids, options);
  }

  #encodeSections(
    sections: Section[],
    late: AddedTokenSplitter,
    ids: IdBuffer,
    options: PipelineOptions,
  ): void {
    const normalize = this.#engine.normalizer;
    sections.forEach((section, index) => {
      if (typeof section !== 'string') {
        ids.push([section.id]);
        return;
      }
      for (const part of late.split(normalize ? normalize(section) : section)) {
        if (typeof part === 'string') this.#encodeWords(this.#wordsOf(part, index), ids, options);
        else ids.push([part.id]);
      }
    });
  }

  #wordsOf(text: string, sectionIndex: number): string[] {
    const preTokenizer = this.#engine.pre_tokenizer;
    const words = preTokenizer ? preTokenizer(text, { section_index: sectionIndex }) : [text];
    if (!this.#splitsAtMetaspace) return words;
    return words.flatMap((word) => word.split(/(?<=[^\u2581])(?=\u2581)/));
  }

  #encodeWords(words: string[], ids: IdBuffer, { stopped }: PipelineOptions): void {
    words.forEach((word, i) => {
      if (i % wordsBetweenChecks === 0 && stopped?.()) throw new EncodingStopped();
      ids.push(this.#encodeWord(word));
    });
  }

  #encodeWord(word: string): ArrayLike<number> {
    const known = this.#words.get(word);
    if (known) return known;
    const model = this.#engine.model;
    const ids: number[] = [];
    for (const token of model([this.#spellsBytes ? spellBytes(word) : word])) {
      const id = model.tokens_to_ids.get(token) ?? model.unk_token_id;
      if (id !== undefined) ids.push(id);
    }
    const encoded = Int32Array.from(ids);
    if (word.length <= longestRemembered) {
      if (this.#words.size >= rememberedWords) this.#words.clear();
      this.#words.set(word, encoded);
    }
    return encoded;
  }

  /** What the post-processor puts before and after a text. */
  #surroundings(): [number[], number[]] {
    const process = this.#engine.post_processor;
    if (process === null) return [[], []];
    const inside = '\u0000';
    const { tokens } = process([inside], null, true);
    const at = tokens.indexOf(inside);
    const ids = tokens.map((token) => (token === inside ? -1 : this.idOf(token)));
    const unknown = tokens[ids.indexOf(undefined)];
    if (unknown !== undefined || at < 0) {
      throw new KvasirError(
        'MODEL_FORMAT',
        `The tokenizer's post-processor adds "${unknown}", which is no token.`,
      );
    }
    return [ids.slice(0, at) as number[], ids.slice(at + 1) as number[]];
  }

  /**
   * A SentencePiece text is one word from end to end. It may be cut before every run of spaces when no token spans such
   * a place, for then no merge can: the result is the same, and words can be remembered.
   */
  #mayCutAtMetaspace(): boolean {
    const { json } = this.definition;
    const model = this.#engine.model;
    if (json.model.type !== 'BPE' || model.end_of_word_suffix || json.model.continuing_subword_prefix)
      return false;
    let spansSpace = false;
    let hasMetaspace = false;
    for (const token of model.vocab) {
      const first = token?.indexOf(metaspace) ?? -1;
      if (first < 0) continue;
      hasMetaspace ||= first === 0;
      spansSpace ||= first > 0 || /[^\u2581]\u2581/.test(token!);
    }
    const bytesKnown = byteTokens.every((token) => model.tokens_to_ids.has(token));
    return (
      hasMetaspace && !spansSpace && (!model.fuse_unk || (json.model.byte_fallback === true && bytesKnown))
    );
  }
}

/** As the library reads it. */
function plainModel(model: TokenizerJson['model']): TokenizerJson['model'] {
  return model.vocab instanceof Map ? { ...model, vocab: Object.fromEntries(model.vocab) } : model;
}

/** Half a character cannot be UTF-8: it becomes U+FFFD, as in every text that Node writes. */
function replaceLoneSurrogates(text: string): string {
  return text.replace(/[\uD800-\uDFFF]/gu, '\uFFFD');
}
