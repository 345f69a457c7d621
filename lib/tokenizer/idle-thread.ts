/**
 * The one tokenizer thread that may wait between two models: a process grows by some 10 KB with every worker that it ends,
 * and starting one takes the main thread milliseconds. A thread is never shared: one model's long text delays no other's.
 */
import { type ThreadOwner, TokenizerThread } from './thread.js';

/** After this long without a model the process gets the thread's memory back. */
const longestIdleMs = 5_000;

let idle: { thread: TokenizerThread; timer: NodeJS.Timeout } | undefined;

/** The idle thread, or a new one, which starts at once. It keeps the process alive until `unref`. */
export function takeThread(owner: ThreadOwner): TokenizerThread {
  const thread = takeIdle() ?? new TokenizerThread();
  thread.adopt(owner);
  return thread;
}

/** Takes the tokenizer from the thread, which then waits for another; or ends it, if it has work left or one waits already. */
export async function giveBack(thread: TokenizerThread): Promise<void> {
  if (idle === undefined && (await thread.reset()) && idle === undefined) {
    const timer = setTimeout(() => void takeIdle()?.terminate(), longestIdleMs);
    timer.unref();
    idle = { thread, timer };
    return;
  }
  await thread.terminate();
}

function takeIdle(): TokenizerThread | undefined {
  if (idle === undefined) return undefined;
  const { thread, timer } = idle;
  idle = undefined;
  clearTimeout(timer);
  return thread.isGone ? undefined : thread;
}
