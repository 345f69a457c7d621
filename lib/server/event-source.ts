/** Events as whoever sends them takes them: all that there are, when there are some. */
export interface EventSource {
  /** Whole events, as they go over the wire; '': none yet. Undefined: no more come. Throws what they fail with. */
  read(): string | undefined;
  /** Set by who reads: called at once when there may be more. It does not throw. */
  onNews: () => void;
  /** Nobody reads on: what makes the events ends. */
  leave(): void;
}
