/** What crosses the border of the grammar engine (native/grammar/). */

/** A grammar as a table of nodes; see native/grammar/ir.h. */
export interface GrammarTable {
  /** [nodes, 4] kind and three numbers; children stand before their parents. */
  nodes: Int32Array;
  /** Ranges of code points and children. */
  lists: Int32Array;
  /** UTF-8 of all literals. */
  bytes: Uint8Array;
  /** [rules] the node of each; rule 0 is the whole. */
  rules: Int32Array;
  /** [rules] 1: never copied into what refers to it. */
  shared: Uint8Array;
}

/** The tokens of a vocabulary as a tree of bytes. */
export interface TokenTrie {
  /**
   * Off the JS thread. Resolves to a text where a budget is used up: LIMIT_EXCEEDED. Rejects with INVALID_OPTION for a
   * grammar that matches nothing, or with a rule that begins with itself.
   */
  compile(
    nodes: Int32Array,
    lists: Int32Array,
    bytes: Uint8Array,
    rules: Int32Array,
    shared: Uint8Array,
  ): Promise<NativeGrammar | string>;
}

/** Shared by its matchers, all on the JS thread. */
export interface NativeGrammar {
  createMatcher(): NativeMatcher;
}

/** Follows one text. Each call may throw LIMIT_EXCEEDED. */
export interface NativeMatcher {
  /**
   * Writes into `bits` [tokens / 32] which tokens may follow, such that the text can end within `remaining` tokens, this one
   * counted. `narrowed`: the grammar alone would allow more.
   */
  mask(bits: Uint32Array, remaining: number): { allowed: number; narrowed: boolean };
  /** false: the token is not allowed, and nothing changed. */
  accept(token: number): boolean;
  /** Another that goes on from here by itself. */
  fork(): NativeMatcher;
  /** Takes back tokens. */
  rollback(count: number): void;
  /** Tokens of a short text to the end; -1: there is none that is short enough. */
  shortest(): number;
  /** The fewest tokens of the text that must follow whatever is chosen, of at most `most` bytes. */
  forced(most: number): Int32Array;
  /** It goes on, and only with one byte. Never throws. */
  readonly forces: boolean;
  /** The text may end here. */
  readonly canEnd: boolean;
  /** Nothing may follow. */
  readonly over: boolean;
}
