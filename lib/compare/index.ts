/** The comparison, loaded when it is first asked for: importing the package need not read the code that draws charts. */
import { plainData, reading } from '../given.js';
import type { CompareOptions } from './options.js';
import type { CompareReport } from './report.js';

/**
 * Compares two modes of one model in quality, speed and memory.
 * @param reference what `Model.load` takes.
 * @returns what was measured; bounds that are not met (`maxKl`, `minSpeedup`) are in `checks`, they do not reject.
 * @throws what `Model.load` throws, INVALID_OPTION for a text that is empty, binary or shorter than a window, or the
 * signal's reason when it is aborted before anything is measured.
 */
export async function compare(reference: string, options: CompareOptions = {}): Promise<CompareReport> {
  return (await import('./compare.js')).compare(reference, options);
}

/**
 * The report as one self-contained HTML file, without scripts and without anything to fetch.
 * @throws INVALID_OPTION for what is no report of `compare`.
 */
export async function comparisonPage(report: CompareReport): Promise<string> {
  const { comparisonPage: draw } = await import('./page/page.js');
  const copy = plainData(report, 'The report') as CompareReport;
  return reading('The report', () => draw(copy));
}
