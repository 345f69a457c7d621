/** The tokenizer's thread begins here, at the priority that its reading and compiling of modules should have already. */
import { setPriority } from 'node:os';

// On Linux a priority belongs to a thread, and 0 names the calling one: the main thread's event loop goes first.
if (process.platform === 'linux') setPriority(0, 5);

await import('./serving.js');
