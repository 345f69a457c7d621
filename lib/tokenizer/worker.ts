/** The tokenizer's thread begins here, at the priority that its reading and compiling of modules should have already. */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';
import { workerData } from 'node:worker_threads';
import { Shared, type WorkerStart } from './protocol.js';

if (process.platform === 'linux') {
  // There a priority belongs to a thread, and 0 names the calling one: the main thread's event loop goes first.
  setPriority(0, 5);
  // Its processor time can be read by this number.
  const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  Atomics.store(new Int32Array((workerData as WorkerStart).shared), Shared.thread, thread);
}

await import('./serving.js');
