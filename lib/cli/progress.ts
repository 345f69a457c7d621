/** Progress of long work on stderr: a bar on a terminal, else one line for each file that is fetched. */
import cliProgress from 'cli-progress';
import type { MergeProgress } from '../merge.js';
import type { QuantizeProgress } from '../quantize.js';
import { isQuiet, say } from './output.js';
import { duration, size } from './report.js';

type WorkProgress = QuantizeProgress | MergeProgress;
type Phase = WorkProgress['phase'];

const verbs: Record<Phase, string> = {
  download: 'downloading',
  verify: 'verifying',
  unpack: 'unpacking',
  load: 'loading',
  quantize: 'quantizing',
  merge: 'merging',
};

/** No bytes come from elsewhere: the amounts say nothing to people. */
const computes = (phase: Phase): boolean => ['load', 'quantize', 'merge'].includes(phase);

export interface ProgressDisplay {
  /** For `onProgress` of load, pull, quantize and merge. */
  report(progress: WorkProgress): void;
  /** `done` of `total` of one thing. */
  count(title: string, done: number, total: number): void;
  /** A part of 1 of one thing, with seconds left where they are known. */
  part(title: string, done: number, secondsLeft?: number): void;
  /** Takes the bar off the screen. Idempotent. */
  stop(): void;
}

class Bars implements ProgressDisplay {
  #bar: cliProgress.SingleBar | undefined;
  #title = '';

  report({ phase, file, loaded, total }: WorkProgress): void {
    const amount = computes(phase) ? '' : `${size(loaded)}${total > 0 ? ` of ${size(total)}` : ''}`;
    this.#show(`${verbs[phase]} ${file}`, amount, loaded, total);
  }

  count(title: string, done: number, total: number): void {
    this.#show(title, `${done} of ${total}`, done, total);
  }

  part(title: string, done: number, secondsLeft?: number): void {
    const left = secondsLeft === undefined ? '' : `${duration(secondsLeft)} left`;
    this.#show(title, left, Math.round(1000 * done), 1000);
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #show(title: string, amount: string, done: number, total: number): void {
    if (this.#bar === undefined || title !== this.#title) this.#start(title, total);
    // While the total is unknown the bar stays empty.
    if (total > 0) this.#bar?.setTotal(total);
    this.#bar?.update(total > 0 ? Math.min(done, total) : 0, { title, amount });
  }

  #start(title: string, total: number): void {
    this.stop();
    this.#title = title;
    this.#bar = new cliProgress.SingleBar({
      format: '{title} [{bar}] {percentage}% {amount}',
      barCompleteChar: '=',
      barIncompleteChar: ' ',
      barsize: 30,
      clearOnComplete: true,
      // Hidden, it would stay so when the process is killed.
      hideCursor: false,
      stream: process.stderr,
    });
    this.#bar.start(Math.max(1, total), 0, { title, amount: '' });
  }
}

class Lines implements ProgressDisplay {
  readonly #said = new Set<string>();

  report({ phase, file, total }: WorkProgress): void {
    const key = `${phase} ${file}`;
    if (computes(phase) || this.#said.has(key)) return;
    this.#said.add(key);
    say(`${verbs[phase]} ${file}${total > 0 ? ` (${size(total)})` : ''}`);
  }

  count(): void {}

  part(): void {}

  stop(): void {}
}

export function createProgress(): ProgressDisplay {
  if (isQuiet() || !process.stderr.isTTY) return new Lines();
  const bars = new Bars();
  // The terminal does not wrap lines under a bar; it must again when a second Ctrl-C ends the process.
  process.once('exit', () => bars.stop());
  return bars;
}
