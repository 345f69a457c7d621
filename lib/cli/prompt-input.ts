/** The prompt of a command: an argument, or everything on stdin. */
import { addAbortSignal } from 'node:stream';
import { UsageError } from './failure.js';

/**
 * @param argument '-' or absent: stdin, without the line break at its end.
 * Throws UsageError when there is no text, or what is there is no UTF-8.
 */
export async function readPrompt(argument: string | undefined, signal: AbortSignal): Promise<string> {
  if (argument !== undefined && argument !== '-') {
    if (argument === '') throw new UsageError('The prompt is empty: there is nothing to continue.');
    return argument;
  }
  if (argument === undefined && process.stdin.isTTY) {
    throw new UsageError('There is no prompt: give it after the model, or on stdin.');
  }
  const text = decode(await readAll(signal)).replace(/\r?\n$/, '');
  if (text === '') throw new UsageError('There is no prompt: stdin is empty.');
  return text;
}

async function readAll(signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of addAbortSignal(signal, process.stdin)) chunks.push(chunk as Buffer);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return Buffer.concat(chunks);
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError('The prompt on stdin is not valid UTF-8: convert it first.');
  }
}
