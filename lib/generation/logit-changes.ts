/** How a shortlist sees what is done to logits before any choice. */
export interface LogitChanges {
  /** Ids whose logit may differ from the model's; each once. */
  readonly touched: readonly number[];
  /** Every change is to minus infinity: what the model gave for these tokens does not matter. */
  readonly onlyBans: boolean;
  isTouched(id: number): boolean;
  /** The changed logit, as float32. */
  apply(id: number, logit: number): number;
}
