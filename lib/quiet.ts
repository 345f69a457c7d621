/**
 * When a worker thread of ours may end. What a thread runs often V8 compiles in the background. Node takes a thread that ends
 * off its platform before V8 has stopped that work, and a job that needs the collector in between ends the process with an
 * assertion of Node's (`NodePlatform::ForIsolate`). So no thread ends, nor lets the process end, before it has run nothing for a
 * moment.
 */

/** Milliseconds: several times what V8 takes to compile the longest of our functions. */
export const quietMs = 100;
