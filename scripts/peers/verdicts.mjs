// Judges targets by what was measured. Pure: what is missing is said, never guessed.
import { ratioSpread } from './statistics.mjs';
import { works } from './works.mjs';

/**
 * @param {import('./works.mjs').Target} target
 * @param {{
 *   results: Map<string, object>,
 *   singles: Map<string, object>,
 *   missing: Map<string, string>,
 *   kernels?: string,
 *   shares: Map<string, object>,
 * }} measured results and shares by `work engine`, singles by name: summaries of statistics.mjs; missing: reasons by engine
 *   or single
 * @returns {{ value?: number, spread?: object, chosen?: string, verdict: 'aim' | 'reached' | 'missed' | 'open', note?: string }}
 */
export function judge(target, measured) {
  if (target.kind === 'most') return judgeMost(target, measured);
  if (target.kernels !== undefined && !target.kernels.includes(measured.kernels)) {
    return open(
      `needs ${target.kernels.join(' or ')}, this machine has ${measured.kernels ?? 'no measured table'}`,
    );
  }
  const ours = measured.results.get(`${target.work} ${target.ours}`);
  if (ours === undefined) return open(reasonFor(target.ours, measured));
  if (target.kind === 'share') {
    const share = measured.shares.get(`${target.work} ${target.ours}`);
    if (share === undefined) return open('the limits were not measured');
    const spread = { low: share.least, high: share.most };
    return { value: share.median, spread, ...grade(share.median, target) };
  }
  return judgeRatio(target, ours, measured);
}

function judgeRatio(target, ours, measured) {
  const smallerIsBetter = works[target.work].quantity === 'first';
  const found = target.against.flatMap((engine) => {
    const summary = measured.results.get(`${target.baseWork ?? target.work} ${engine}`);
    return summary === undefined ? [] : [{ engine, summary }];
  });
  const absent = target.against.filter((engine) => !found.some((one) => one.engine === engine));
  if (found.length === 0) return open(reasonFor(absent[0], measured));
  const better = (a, b) =>
    smallerIsBetter ? b.summary.median - a.summary.median : a.summary.median - b.summary.median;
  const best = found.reduce((a, b) => (better(a, b) >= 0 ? a : b));
  const [over, under] = smallerIsBetter ? [best.summary, ours] : [ours, best.summary];
  const value = over.median / under.median;
  const judged = { value, spread: ratioSpread(over.samples, under.samples), chosen: best.engine };
  const note = absent.length > 0 ? `without ${absent.join(', ')}` : undefined;
  return { ...judged, ...grade(value, target), ...(note && { note }) };
}

function judgeMost({ single, atMost, aim }, measured) {
  const summary = measured.singles.get(single);
  if (summary === undefined) return open(reasonFor(single, measured));
  const value = summary.median;
  const verdict = value <= aim ? 'aim' : value <= atMost ? 'reached' : 'missed';
  return { value, spread: { low: summary.least, high: summary.most }, verdict };
}

/** A target without an aim can only be reached; one without a lower bound is an aim alone. */
function grade(value, { atLeast, aim }) {
  if (aim !== undefined && value >= aim) return { verdict: 'aim' };
  if (atLeast !== undefined && value >= atLeast) return { verdict: 'reached' };
  return { verdict: 'missed' };
}

function open(note) {
  return { verdict: 'open', note };
}

function reasonFor(name, { missing }) {
  return `${name} not measured: ${missing.get(name) ?? 'left out of this run'}`;
}
