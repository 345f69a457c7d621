/** A number of the report in the page, with the place that it comes from. */
import type { CompareReport } from '../report.js';
import { element, type Markup } from './markup.js';

/** Throws when the report has no number there: the page shows nothing that the report does not hold. */
export function shown(
  report: CompareReport,
  path: string,
  format: (value: number) => string,
  name = 'span',
): Markup {
  let value: unknown = report;
  for (const key of path.split('.')) value = (value as Record<string, unknown> | undefined)?.[key];
  if (typeof value !== 'number') throw new Error(`The report has no number at ${path}`);
  return element(name, { 'data-path': path }, format(value));
}
