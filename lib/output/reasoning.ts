/** What stands around a model's thoughts, found in its chat template. */

export interface ReasoningMarkers {
  open: string;
  close: string;
  /** What ends thoughts when their budget is used up, special tokens spelled. */
  forcedEnd: string;
}

const tags = (open: string, close: string): ReasoningMarkers => ({
  open,
  close,
  forcedEnd: `\n${close}\n\n`,
});
const tokens = (open: string, close: string): ReasoningMarkers => ({ open, close, forcedEnd: close });

/** The first whose closing marker the template holds. */
const known: readonly ReasoningMarkers[] = [
  tags('<think>', '</think>'),
  tags('<thinking>', '</thinking>'),
  tokens('<seed:think>', '</seed:think>'),
  tokens('<mm:think>', '</mm:think>'),
  tokens('[THINK]', '[/THINK]'),
  tokens('<|START_THINKING|>', '<|END_THINKING|>'),
  tokens('<|inner_prefix|>', '<|inner_suffix|>'),
];

/** undefined: the model does not think, as far as its template says. */
export function reasoningMarkers(template: string): ReasoningMarkers | undefined {
  return known.find(({ close }) => template.includes(close));
}
