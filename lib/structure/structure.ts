/**
 * One answer on its way through its grammar: which tokens may come next, where it may end, and that it ends before its
 * tokens do. Grammars are compiled once and kept; the vocabulary's tree of bytes is made at the first use.
 */
import { KvasirError } from '../errors.js';
import { isAllowed, type TokenMask } from '../generation/masked-row.js';
import type { TokenDecoder } from '../generation/text.js';
import {
  fromNative,
  type GrammarTable,
  type NativeAddon,
  type NativeGrammar,
  type NativeMatcher,
  type TokenTrie,
} from '../native.js';
import type { AnswerTask } from './answer-shape.js';
import { convertTask } from './converter.js';
import { hasTokenMark, tokenCode } from './grammar.js';
import { nameOf, objectOf } from './response-format.js';

/** What a structure needs of a tokenizer. */
export interface StructureVocabulary {
  /** Rows of the model's output. */
  size: number;
  /** Ids that have a token. */
  known: number;
  /** What a token adds to a text; undefined where that depends on its neighbours. */
  bytesOf(id: number): Uint8Array | undefined;
  /** It stands for no text: a grammar has it by its id alone. */
  isSpecial(id: number): boolean;
  /** What a special token spells. */
  textOf(id: number): string;
  endTokens: ReadonlySet<number>;
}

/** Grammars that are kept, the latest used ones. */
const mostKept = 16;
/** Tokens that are looked up before the event loop gets its turn. */
const tokensInTurn = 2048;

/** A grammar over a model's vocabulary. */
export interface CompiledStructure {
  task: AnswerTask;
  grammar: NativeGrammar;
  vocabulary: StructureVocabulary;
}

export class Structures {
  readonly #kept = new Map<string, Promise<CompiledStructure>>();
  #trie: Promise<TokenTrie> | undefined;

  constructor(
    readonly native: () => Pick<NativeAddon, 'createTokenTrie'>,
    readonly vocabulary: StructureVocabulary,
    /** Makes a grammar's table, on another thread. */
    readonly convert: (task: AnswerTask) => Promise<GrammarTable> = convertTask,
  ) {}

  /** @param task plain data. Rejects with INVALID_OPTION, LIMIT_EXCEEDED, UNSUPPORTED_ARCHITECTURE. */
  compile(task: AnswerTask): Promise<CompiledStructure> {
    const key = JSON.stringify(task);
    const compiled = this.#kept.get(key) ?? this.#compile(task);
    this.#kept.delete(key);
    this.#kept.set(key, compiled);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= mostKept) break;
      this.#kept.delete(oldest);
    }
    compiled.catch(() => this.#kept.delete(key));
    return compiled;
  }

  async #compile(task: AnswerTask): Promise<CompiledStructure> {
    const { nodes, lists, bytes, rules, shared } = await this.convert(task);
    this.#trie ??= this.#createTrie();
    const trie = await this.#trie;
    const grammar = await trie.compile(nodes, lists, bytes, rules, shared).catch((error) => {
      throw fromNative(error);
    });
    if (typeof grammar === 'string') throw new KvasirError('LIMIT_EXCEEDED', `${grammar}.`);
    return { task, grammar, vocabulary: this.vocabulary };
  }

  async #createTrie(): Promise<TokenTrie> {
    const { known, bytesOf, isSpecial, endTokens } = this.vocabulary;
    const parts: Uint8Array[] = [];
    const offsets = new Uint32Array(known + 1);
    const usable = new Uint8Array(known);
    for (let id = 0; id < known; id++) {
      if (id % tokensInTurn === tokensInTurn - 1) await new Promise((resolve) => setImmediate(resolve));
      const part = isSpecial(id) || endTokens.has(id) ? tokenCode(id) : bytesOf(id);
      if (part === undefined) {
        throw new KvasirError(
          'UNSUPPORTED_ARCHITECTURE',
          "responseFormat is not supported by this model's tokenizer: what a token reads as depends on its neighbours.",
        );
      }
      usable[id] = isSpecial(id) || endTokens.has(id) || !hasTokenMark(part) ? 1 : 0;
      if (usable[id] === 1) parts.push(part);
      offsets[id + 1] = offsets[id] + (usable[id] === 1 ? part.length : 0);
    }
    return this.native().createTokenTrie(Buffer.concat(parts), offsets, usable);
  }
}

export class Structure {
  readonly #compiled: CompiledStructure;
  readonly #matcher: NativeMatcher;
  readonly #mask: TokenMask;
  readonly #ends: readonly number[];
  #masked = false;
  #closed = false;
  #over = false;
  readonly #most: number;

  /**
   * @param most tokens that the answer may have.
   * @param ends tokens with which the model may end where the structure may.
   * @param from where it goes on. Throws INVALID_OPTION when even the shortest answer is longer.
   */
  constructor(compiled: CompiledStructure, most: number, ends: ReadonlySet<number>, from?: Structure) {
    const { grammar, vocabulary } = compiled;
    this.#compiled = compiled;
    this.#most = most;
    this.#matcher = from ? from.#matcher.fork() : grammar.createMatcher();
    this.#mask = { bits: new Uint32Array(Math.ceil(vocabulary.size / 32)), allowed: 0 };
    this.#ends = [...ends].filter((id) => id < vocabulary.size);
    this.#over = this.#matcher.over;
    if (from) this.#closed = from.#closed;
    else this.#checkFits(most);
  }

  /** Another that goes on from here. */
  fork(): Structure {
    return new Structure(this.#compiled, this.#most, new Set(this.#ends), this);
  }

  #checkFits(most: number): void {
    const shortest = this.#matcher.shortest();
    const name = nameOf(this.#compiled.task.format);
    if (shortest < 0) {
      throw new KvasirError(
        'INVALID_OPTION',
        `The shortest answer for ${name} is too long, or the tokens of this model cannot spell it.`,
      );
    }
    if (shortest <= most) return;
    throw new KvasirError(
      'INVALID_OPTION',
      `Option maxTokens leaves ${most} tokens; the shortest answer for ${name} takes ${shortest}.`,
      { details: { option: 'maxTokens', given: most, required: shortest } },
    );
  }

  /** Tokens were left out that the grammar allows, so that the answer could end in time. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The text is one of the grammar. */
  get complete(): boolean {
    return this.#matcher.canEnd;
  }

  /** Nothing may follow. */
  get over(): boolean {
    return this.#over;
  }

  /** One byte alone may follow: perhaps one token. It is told faster than by a mask. */
  get forces(): boolean {
    return this.#matcher.forces;
  }

  /** Which tokens may come next; valid until `accept`. @param remaining tokens, this one counted */
  mask(remaining: number): TokenMask {
    if (this.#masked) return this.#mask;
    const { allowed, narrowed } = this.#matcher.mask(this.#mask.bits, remaining);
    this.#mask.allowed = allowed;
    this.#closed ||= narrowed;
    if (this.#matcher.canEnd) {
      for (const id of this.#ends) {
        if (!isAllowed(this.#mask.bits, id)) this.#mask.allowed++;
        this.#mask.bits[id >>> 5] |= 1 << (id & 31);
      }
    }
    this.#masked = true;
    return this.#mask;
  }

  accept(token: number): void {
    if (!this.#matcher.accept(token)) {
      throw new KvasirError('INTERNAL', `The token ${token} is none that the structure allows.`);
    }
    this.#masked = false;
    this.#over = this.#matcher.over;
  }

  /** It asks for more than calls. */
  get hasFormat(): boolean {
    return this.#compiled.task.format !== undefined;
  }

  /** What a complete text stands for: JSON's value, a choice. */
  object(text: string): unknown {
    const { format } = this.#compiled.task;
    return format && objectOf(format, text);
  }
}

/** Text as a grammar has it: exactly the bytes of its tokens. */
export function decoderOf({ vocabulary: { bytesOf, isSpecial, textOf } }: CompiledStructure): TokenDecoder {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (token) => (isSpecial(token) ? '' : utf8.decode(bytesOf(token), { stream: true })),
    unseen: (token) => (isSpecial(token) ? textOf(token) : ''),
    flush: () => utf8.decode(),
  };
}
