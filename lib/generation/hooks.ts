/** Functions of the caller that take part in generating: what they get and what they may do. */

export interface LogitsContext {
  /** What was generated so far; a copy. */
  tokens: readonly number[];
}

/**
 * Called with the model's logits [vocabSize] before each token is chosen, ahead of all penalties and filters; it may change
 * them in place (-Infinity: never). Synchronous: the event loop and all other requests wait for it. It is not called where
 * only one token is allowed. Log-probabilities are those before it.
 */
export type ProcessLogits = (logits: Float32Array, context: LogitsContext) => void;

export interface GuardContext {
  /** What the text is: the answer, or thoughts before it. */
  type: 'text' | 'reasoning';
  /** What has gone out of this type so far. */
  released: string;
  /** No more text of this type follows: what is held back now is left out. */
  done: boolean;
}

export interface GuardVerdict {
  /** Goes out now, in place of the given text. */
  release: string;
  /** Is given again, in front of what follows. Default ''. */
  hold?: string;
  /** The answer ends here, with `finishReason: 'content_filter'`. */
  end?: boolean;
}

/**
 * Sees the output before anybody else: `text` is what it held back and what is new. A string is what goes out, with nothing
 * held back. It may take its time: the model waits. It sees text and thoughts, not calls of tools.
 */
export type Guard = (
  text: string,
  context: GuardContext,
) => string | GuardVerdict | Promise<string | GuardVerdict>;

export interface HookOptions {
  /** Changes the logits of each step. */
  processLogits?: ProcessLogits;
  /** Holds back, replaces or ends the text. */
  guard?: Guard;
}
