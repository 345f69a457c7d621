/** What `kvasir inspect` prints: the tokens as a table, and how each one was drawn. */
import type { Draw } from '../trace/draws.js';
import type { Trace } from '../trace/trace.js';

/** A line for each token: what it is, how surprising it was, what was expected after it, behind each layer and in the end. */
export function tokenTable({ tokens, from, predictions, lens }: Trace): string {
  const layers = [...new Set(lens.map(({ layer }) => layer))];
  const rows = predictions.map(({ position, top, entropy }) => {
    const before = position > from ? predictions[position - from - 1]?.surprisal : undefined;
    const seen = layers.map((layer) => lens.find((one) => one.layer === layer && one.position === position));
    return [
      String(position),
      JSON.stringify(tokens[position]!.text),
      before === undefined ? '' : before.toFixed(2),
      entropy.toFixed(2),
      ...seen.map((one) => JSON.stringify(one?.top[0]?.text ?? '')),
      `${JSON.stringify(top[0]!.text)} ${(100 * top[0]!.probability).toFixed(0)} %`,
    ];
  });
  const head = [
    '#',
    'token',
    'surprisal',
    'entropy',
    ...layers.map((layer) => `layer ${layer}`),
    'expected next',
  ];
  const lines =
    rows.length > 0 ? [head, ...rows] : tokens.map(({ text }, i) => [String(i), JSON.stringify(text)]);
  const widths = head.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

const drawn = 5;

/** Of each token that was generated, a line for each stage of the sampler: how many tokens were left, and the best of them. */
export function drawLines(draws: readonly Draw[]): string {
  return draws
    .map(({ position, text, uniform, stages }) => {
      const how = uniform === undefined ? 'the only one left' : `drawn with ${uniform.toFixed(6)}`;
      const lines = stages.map(({ stage, left, top }) => {
        const best = top.slice(0, drawn).map((one) => {
          return `${JSON.stringify(one.text)} ${(100 * one.probability).toPrecision(3)} %`;
        });
        return `  ${stage}, ${left} left: ${best.join(', ')}\n`;
      });
      return `${position} ${JSON.stringify(text)}, ${how}\n${lines.join('')}`;
    })
    .join('');
}
