// The report of a GPU check: one line a part while it runs, and Markdown.

const cell = (text) =>
  String(text ?? '')
    .replaceAll('|', '/')
    .replaceAll('\n', ' ');

function verdict({ passed, status }) {
  if (status === 'limit') return 'CUT at its limit';
  return passed ? 'passed' : 'FAILED';
}

/** What of a part is worth a line: what failed, else its last results. */
function summaryOf({ results, said, status }) {
  const failed = results.filter(({ passed }) => passed === false);
  const shown = failed.length > 0 ? failed : results.filter(({ text }) => text).slice(-3);
  if (shown.length === 0) return said.at(-1) ?? `it ended with ${status} and without a result`;
  return shown.map(({ name, text }) => `${name}: ${text}`).join('; ');
}

export function lineOf(part) {
  return `${part.title}: ${verdict(part)} (${part.seconds} s, ${part.results.length} results). ${summaryOf(part)}`;
}

export function markdownOf({ date, seconds, node, parts }) {
  const lines = [`Kvasir's GPU check of ${seconds} seconds, ${date}, Node ${node}.`, ''];
  for (const part of parts) {
    lines.push(`## ${part.title}: ${verdict(part)} (${part.seconds} of ${part.limitSeconds} s)`, '');
    if (part.results.length > 0) {
      lines.push('| what | result |', '|---|---|');
      for (const { name, text, passed } of part.results) {
        lines.push(`| ${cell(name)} | ${passed === false ? 'FAILED: ' : ''}${cell(text)} |`);
      }
      lines.push('');
    }
    if (!part.passed && part.said.length > 0) lines.push('```', ...part.said, '```', '');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}
