/** Memory: each mode alone in a process of its own, so that neither the other one nor this process is counted. */
import { fork } from 'node:child_process';
import { KvasirError, type KvasirErrorCode } from '../errors.js';
import { compiledFile } from '../package-root.js';
import type { LoadOptions } from '../options.js';

/** All in bytes, but for `contextTokens`. */
export interface ModeMemory {
  weights: number;
  /** KV cache of `contextTokens` tokens, all of them in use. */
  kv: number;
  scratch: number;
  /** Weights, KV cache and scratch, computed before the load. */
  predicted: number;
  /** Of Node alone, before the load. */
  baseRss: number;
  /** Largest resident size, at the load or in a generation that fills the context. */
  peakRss: number;
  contextTokens: number;
}

export interface ProbeRequest {
  reference: string;
  options: LoadOptions;
}

export type ProbeReply = { memory: ModeMemory } | { error: { code: string; message: string } };

/**
 * Loads the model in a new process, fills its context once and tells what that took.
 * @throws what `Model.load` throws there, INTERNAL when the process dies, the signal's reason; the process is gone then.
 */
export async function measureMemory(
  reference: string,
  { device, gpuLayers, dtype, kvDtype, contextLength, threads }: LoadOptions,
  signal: AbortSignal,
): Promise<ModeMemory> {
  signal.throwIfAborted();
  // In a process group of its own: a Ctrl-C at the terminal is for us, and we end it.
  const child = fork(compiledFile('compare', 'memory-probe.js'), {
    detached: true,
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    const reply = await new Promise<ProbeReply>((resolve, reject) => {
      child.once('message', (message) => resolve(message as ProbeReply));
      child.once('error', reject);
      child.once('exit', (code, by) => {
        reject(new KvasirError('INTERNAL', `The process that measures memory ended with ${code ?? by}.`));
      });
      const options = { device, gpuLayers, dtype, kvDtype, contextLength, threads };
      child.send({ reference, options } satisfies ProbeRequest);
    });
    if ('memory' in reply) return reply.memory;
    throw new KvasirError(reply.error.code as KvasirErrorCode, reply.error.message);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', kill);
    kill();
  }
}
