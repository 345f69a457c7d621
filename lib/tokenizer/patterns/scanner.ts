/** A pattern as a function. */

/** The end of a match that begins at `at`, or -1. Nothing from `to` on is looked at; a match is never empty. */
export type Scanner = (text: string, at: number, to: number) => number;
