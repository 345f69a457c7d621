/** What stands around a model's thoughts, found in its chat template. */

export interface ReasoningMarkers {
  open: string;
  close: string;
  /** What ends thoughts when their budget is used up, special tokens spelled. */
  forcedEnd: string;
  /** What stands between thoughts and a call that has to follow. Default: nothing. */
  beforeCall?: string;
  /** Markers around the answer behind the thoughts, which are no part of it. */
  ignored?: readonly string[];
}

const tags = (open: string, close: string): ReasoningMarkers => ({
  open,
  close,
  forcedEnd: `\n${close}\n\n`,
});
const tokens = (open: string, close: string): ReasoningMarkers => ({ open, close, forcedEnd: close });

/** The first whose closing marker, or both, the template holds. */
const known: readonly ReasoningMarkers[] = [
  {
    open: '<|channel|>analysis<|message|>',
    close: '<|end|>',
    forcedEnd: '<|end|><|start|>assistant<|channel|>final<|message|>',
    beforeCall: '<|start|>assistant',
  },
  { ...tags('<think>', '</think>'), ignored: ['<response>', '</response>'] },
  tags('<thinking>', '</thinking>'),
  tokens('<seed:think>', '</seed:think>'),
  tokens('<mm:think>', '</mm:think>'),
  tokens('[THINK]', '[/THINK]'),
  {
    ...tokens('<|START_THINKING|>', '<|END_THINKING|>'),
    ignored: ['<|START_RESPONSE|>', '<|END_RESPONSE|>'],
  },
  tokens('<|inner_prefix|>', '<|inner_suffix|>'),
  { open: '<|channel>thought\n', close: '<channel|>', forcedEnd: '\n<channel|>' },
];

/** undefined: the model does not think, as far as its template says. */
export function reasoningMarkers(template: string): ReasoningMarkers | undefined {
  const found = known.find(
    ({ open, close }) =>
      template.includes(close) && (close.startsWith('</') || template.includes(open.trimEnd())),
  );
  return found && { ...found, ignored: found.ignored?.filter((marker) => template.includes(marker)) };
}
