/**
 * Expressions of decoders, which run on the caller's thread: the only ones that no thread can be given up for. One that
 * repeats without bound may backtrack for ever, so it runs under a clock that ends it; others run as they are.
 */
import { createContext, Script } from 'node:vm';
import { limitExceeded } from '../work.js';
import type { Finder } from './finder.js';

/** Of one text. Only what backtracks comes near it. */
const mostMilliseconds = 200;

const sandbox: { work: (() => void) | undefined } = { work: undefined };
let timed: (() => void) | undefined;

/** The clock of `vm` reaches into a running expression, which nothing else does. */
function runTimed(work: () => void): void {
  timed ??= makeTimed();
  sandbox.work = work;
  try {
    timed();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw limitExceeded(`An expression of the decoder takes longer than ${mostMilliseconds} ms`);
  } finally {
    sandbox.work = undefined;
  }
}

function makeTimed(): () => void {
  const script = new Script('work()');
  const context = createContext(sandbox);
  return () => script.runInContext(context, { timeout: mostMilliseconds });
}

/** `finder`, whose expression is ended where it takes too long: LIMIT_EXCEEDED. */
export function timedFinder(finder: Finder): Finder {
  if (!finder.repeats) return finder;
  return {
    repeats: true,
    find: (text, from, to, matches) => runTimed(() => finder.find(text, from, to, matches)),
  };
}
