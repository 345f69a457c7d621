/** Tokens that may come next. */
export interface Proposal {
  tokens: readonly number[];
  /** [tokens] how well each is founded: a class of `Acceptance`. */
  classes: readonly number[];
}
