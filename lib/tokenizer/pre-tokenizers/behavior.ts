/** What becomes of the parts that a pattern matches: five behaviours. */
import type { CheckedComponent } from '../component.js';
import { type Finder, Matches } from '../patterns/finder.js';
import { Bounds, type PreTokenizer } from './pieces.js';

const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;

export type Behavior = (typeof behaviors)[number];

export function readBehavior(node: CheckedComponent, fallback?: Behavior): Behavior {
  const name = node.text('behavior', fallback);
  const behavior = behaviors.find((one) => one === name);
  if (behavior === undefined) throw node.wrong('behavior', `one of ${behaviors.join(', ')}`);
  return behavior;
}

/** `hit`: what counts as a match, true unless the pattern is inverted. */
function pushParts(matches: Matches, behavior: Behavior, hit: boolean, bounds: Bounds): void {
  switch (behavior) {
    case 'Isolated':
      for (let i = 0; i < matches.count; ++i) bounds.push(matches.start(i), matches.end(i));
      return;
    case 'Removed':
      for (let i = 0; i < matches.count; ++i) {
        if (matches.matched(i) !== hit) bounds.push(matches.start(i), matches.end(i));
      }
      return;
    case 'MergedWithNext':
      pushMergedWithNext(matches, hit, bounds);
      return;
    default:
      pushMerged(matches, behavior === 'Contiguous', hit, bounds);
  }
}

/** With the part before: a match behind a gap, or, contiguous, what is of the same kind. */
function pushMerged(matches: Matches, contiguous: boolean, hit: boolean, bounds: Bounds): void {
  let start = -1;
  let end = -1;
  let before = false;
  for (let i = 0; i < matches.count; ++i) {
    const matched = matches.matched(i) === hit;
    const joins = contiguous ? matched === before : matched && !before;
    if (!joins || start < 0) {
      if (start >= 0) bounds.push(start, end);
      start = matches.start(i);
    }
    end = matches.end(i);
    before = matched;
  }
  if (start >= 0) bounds.push(start, end);
}

function pushMergedWithNext(matches: Matches, hit: boolean, bounds: Bounds): void {
  for (let i = 0; i < matches.count; ++i) {
    const matched = matches.matched(i) === hit;
    const joins = matched && i + 1 < matches.count && matches.matched(i + 1) !== hit;
    if (!joins) {
      bounds.push(matches.start(i), matches.end(i));
      continue;
    }
    bounds.push(matches.start(i), matches.end(i + 1));
    ++i;
  }
}

export function splitter(finder: Finder, behavior: Behavior, inverted = false): PreTokenizer {
  const matches = new Matches();
  return ({ source, bounds }) => {
    const parts = new Bounds();
    for (let i = 0; i < bounds.count; ++i) {
      matches.clear();
      finder.find(source.text, bounds.start(i), bounds.end(i), matches);
      pushParts(matches, behavior, !inverted, parts);
    }
    return { source, bounds: parts };
  };
}
