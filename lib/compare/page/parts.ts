/** What every section of the page is made of. */
import type { Speedup } from '../speedup.js';
import { type Child, element, type Markup } from './markup.js';

export function section(title: string, ...children: Child[]): Markup {
  return element('section', {}, element('h2', {}, title), children);
}

export function figure(title: string, chart: Markup): Markup {
  return element('figure', {}, element('h3', {}, title), chart);
}

export function table(head: readonly string[], rows: readonly Child[]): Markup {
  const names = element(
    'tr',
    {},
    head.map((name) => element('th', {}, name)),
  );
  return element(
    'div',
    { class: 'scroll' },
    element('table', {}, element('thead', {}, names), element('tbody', {}, rows)),
  );
}

/** What a ratio of b says. */
export function verdictOf({ significant, ratio }: Pick<Speedup, 'significant' | 'ratio'>, b: string): string {
  if (!significant) return 'no significant difference';
  return `${b} is ${ratio > 1 ? 'faster' : 'slower'}`;
}

export function key(...names: readonly [string, string][]): Markup {
  return element(
    'p',
    { class: 'key' },
    names.map(([name, colour]) => [element('i', { class: colour }), name]),
  );
}
