/**
 * Text to token ids: added tokens, normalizer, pre-tokenizer, model, post-processor. A long text can be given up half-way.
 * What a definition says of truncation and padding is left out, as the reference does when they are off.
 */
import { type AlignedText, alignedText } from './aligned-text.js';
import { AddedVocabulary, type Splitters } from './added-vocabulary.js';
import type { AddedTokenEntry, TokenizerDefinition } from './definition.js';
import { encodeWithout } from './control-tokens.js';
import { createModel, spellsBytes } from './models/create-model.js';
import { type Spellings, TokenSink, type WordModel } from './models/model.js';
import { createNormalizer, type Normalizer } from './normalizers/normalizer.js';
import { placeTokens } from './piece-offsets.js';
import { Bounds, type Pieces } from './pre-tokenizers/pieces.js';
import { createPreTokenization, type PreTokenization } from './pre-tokenizers/pre-tokenizer.js';
import { type Encoding, joinEncodings, type Processor } from './processors/encoding.js';
import { createProcessor } from './processors/processor.js';
import { ContentRanges, type TextSegment } from './segments.js';
import { checkStopped, checkTextLength, limitExceeded, longestWord, stoppable } from './work.js';

export interface PipelineOptions {
  /** Add what the post-processor adds around a text. */
  addSpecialTokens: boolean;
  /** Asked every few thousand characters; true gives up. */
  stopped?: () => boolean;
}

const wordsBetweenChecks = 256;

/** A text with what may not be a special token in it. */
interface Input {
  text: string;
  splitters: Splitters;
  overlaps?: (start: number, end: number) => boolean;
}

export class EncodingPipeline {
  readonly #normalizer: Normalizer | undefined;
  readonly #preTokenization: PreTokenization;
  readonly #model: WordModel;
  readonly #added: AddedVocabulary;
  readonly #processor: Processor;
  #barred: ReadonlySet<number> | undefined;
  #words = 0;

  constructor(readonly definition: TokenizerDefinition) {
    const { json } = definition;
    this.#preTokenization = createPreTokenization(json.pre_tokenizer, spellsBytes(json.model));
    const { spellsBytes: spells } = this.#preTokenization;
    this.#model = createModel(json.model, spells);
    this.#normalizer = json.normalizer === null ? undefined : createNormalizer(json.normalizer);
    this.#added = new AddedVocabulary(json.added_tokens, this.#model, this.#normalizer);
    this.#processor = createProcessor(json.post_processor, (id) => this.tokenOf(id));
  }

  /** One more than the greatest id. */
  get idEnd(): number {
    return Math.max(this.#model.idEnd, this.#added.idEnd);
  }

  get addedTokens(): Iterable<AddedTokenEntry> {
    return this.#added.tokens;
  }

  idOf(token: string): number | undefined {
    return this.#added.idOf(token) ?? this.#model.idOf(token);
  }

  /** The spelling of an id as decoders see it. */
  tokenOf(id: number): string | undefined {
    return this.#added.tokenOf(id) ?? this.#model.tokenOf(id);
  }

  /** Whether the model spells the bytes of words. */
  get spellsBytes(): boolean {
    return this.#preTokenization.spellsBytes;
  }

  isSpecial(id: number): boolean {
    return this.#added.isSpecial(id);
  }

  /** Of the model alone, without added tokens. */
  spellings(): Spellings {
    return this.#model.spellings();
  }

  /** Throws EncodingStopped, and LIMIT_EXCEEDED, as all that follow. */
  encode(text: string, { stopped, addSpecialTokens }: PipelineOptions): Int32Array {
    const input = { text: replaceLoneSurrogates(text), splitters: this.#added.raw };
    return stoppable(
      stopped,
      () => this.#process([this.#sequence(input, 0, false)], addSpecialTokens, false).ids,
    );
  }

  /** A text, or a pair of them, with offsets and type ids. */
  encodeFully(
    texts: readonly [string] | readonly [string, string],
    { stopped, addSpecialTokens }: PipelineOptions,
  ): Encoding {
    return stoppable(stopped, () => {
      const encodings = texts.map((text, i) => {
        const input = { text: replaceLoneSurrogates(text), splitters: this.#added.raw };
        return this.#sequence(input, i, true);
      });
      return this.#process(encodings, addSpecialTokens, true);
    });
  }

  /** A rendered chat: see `TextSegment`. Adds nothing around it. */
  encodeSegments(
    segments: readonly TextSegment[],
    { stopped }: Pick<PipelineOptions, 'stopped'> = {},
  ): Int32Array {
    const ranges = new ContentRanges(segments);
    const input: Input = {
      text: replaceLoneSurrogates(ranges.text),
      splitters: this.#added.chat,
      overlaps: (start, end) => ranges.overlaps(start, end),
    };
    return stoppable(stopped, () => this.#sequence(input, 0, false).ids);
  }

  #process(encodings: Encoding[], addSpecialTokens: boolean, tracked: boolean): Encoding {
    return joinEncodings(this.#processor(encodings, addSpecialTokens), tracked);
  }

  #sequence(input: Input, type: number, tracked: boolean): Encoding {
    const { text, splitters, overlaps } = input;
    checkTextLength(text.length);
    const tokens = new TokenSink(tracked);
    // A pre-tokenizer that asks for the beginning of the text must see through the normalizer.
    const follows = tracked || (this.#preTokenization.needsOrigins && this.#normalizer !== undefined);
    const accepts =
      overlaps &&
      ((token: AddedTokenEntry, start: number, end: number) => !(token.special && overlaps(start, end)));
    for (const { start, end, token } of splitters.written.split(text, accepts)) {
      if (token) pushAdded(tokens, token, text.slice(start, end), [start, end]);
      else this.#section(alignedText(text.slice(start, end), start, follows), splitters, tokens);
    }
    const ids = tokens.ids.slice(0, tokens.count);
    const typeIds = new Int32Array(tokens.count).fill(type);
    if (tokens.spans === undefined) return { ids, typeIds };
    return { ids, typeIds, text, values: tokens.values, offsets: tokens.spans.slice(0, 2 * tokens.count) };
  }

  #section(source: AlignedText, splitters: Splitters, tokens: TokenSink): void {
    const normalized = this.#normalizer ? this.#normalizer(source) : source;
    const barred = splitters === this.#added.raw ? undefined : this.#controlTokens;
    for (const { start, end, token } of splitters.normalized.split(normalized.text)) {
      if (token) pushAdded(tokens, token, normalized.text.slice(start, end), placeOf(normalized, start, end));
      else this.#encodeWords(sliceOf(normalized, start, end), tokens, barred);
    }
  }

  #encodeWords(source: AlignedText, tokens: TokenSink, barred: ReadonlySet<number> | undefined): void {
    let pieces: Pieces = { source, bounds: Bounds.whole(source.text.length) };
    for (const stage of this.#preTokenization.stages) pieces = stage(pieces);
    const { bounds } = pieces;
    const { text } = pieces.source;
    const cuts = this.#model.cutsFor?.(text.length);
    for (let i = 0; i < bounds.count; ++i) {
      const to = bounds.end(i);
      for (let from = bounds.start(i); from < to; ) {
        const end = cuts === undefined ? to : cuts.next(text, from, to);
        if (++this.#words % wordsBetweenChecks === 0) checkStopped();
        if (end - from > longestWord) {
          throw limitExceeded(`The text has a word of more than ${longestWord} characters`);
        }
        const first = tokens.count;
        if (barred === undefined) this.#model.encode(text, from, end, tokens);
        else encodeWithout(barred, this.#model, text.slice(from, end), tokens);
        if (tokens.tracked) placeTokens(tokens, first, pieces.source, from, end);
        from = end;
      }
    }
  }

  /** What no content may become: special tokens, but the unknown one, which a model puts by itself. */
  get #controlTokens(): ReadonlySet<number> {
    if (this.#barred === undefined) {
      const { unk_token, unk_id } = this.definition.json.model;
      const unknown = typeof unk_token === 'string' ? this.idOf(unk_token) : unk_id;
      const special = [...this.#added.tokens].filter((token) => token.special && token.id !== unknown);
      this.#barred = new Set(special.map(({ id }) => id));
    }
    return this.#barred;
  }
}

function pushAdded(tokens: TokenSink, token: AddedTokenEntry, value: string, place: [number, number]): void {
  if (tokens.tracked && value !== token.content) tokens.values.set(tokens.count, value);
  tokens.push(token.id, ...place);
}

function placeOf({ starts, ends }: AlignedText, start: number, end: number): [number, number] {
  return starts && ends ? [starts[start]!, ends[end - 1]!] : [0, 0];
}

function sliceOf(source: AlignedText, start: number, end: number): AlignedText {
  const { text, starts, ends, base } = source;
  if (start === 0 && end === text.length) return source;
  const part = text.slice(start, end);
  if (starts === undefined) return { text: part, base: base + start };
  return {
    text: part,
    base: starts[start]!,
    starts: starts.subarray(start, end),
    ends: ends!.subarray(start, end),
  };
}

/** Half a character cannot be UTF-8: it becomes U+FFFD, as in every text that Node writes. */
function replaceLoneSurrogates(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}
