/** What went wrong, as one line and an exit status. */
import { CommanderError } from 'commander';
import { KvasirError } from '../errors.js';
import { tell, writeJson } from './output.js';

export const FAILED = 1;
export const WRONG_USAGE = 2;

/** The command line itself is wrong: nothing was tried. */
export class UsageError extends Error {}

interface Failure {
  code: string;
  message: string;
  status: number;
}

function describe(error: unknown): Failure {
  if (error instanceof KvasirError) return { code: error.code, message: error.message, status: FAILED };
  if (error instanceof UsageError)
    return { code: 'INVALID_OPTION', message: error.message, status: WRONG_USAGE };
  if (error instanceof CommanderError) {
    return { code: 'INVALID_OPTION', message: error.message.replace(/^error: /, ''), status: WRONG_USAGE };
  }
  return {
    code: 'INTERNAL',
    message: error instanceof Error ? error.message : String(error),
    status: FAILED,
  };
}

/** Tells the user and returns the exit status. Only an error that nobody foresaw shows where it came from. */
export async function reportFailure(error: unknown, json: boolean): Promise<number> {
  const { code, message, status } = describe(error);
  const line = message.replace(/\s*[\r\n]+\s*/g, ' ');
  tell(`error: ${line} [${code}]`);
  if (code === 'INTERNAL' && !(error instanceof KvasirError) && error instanceof Error)
    tell(error.stack ?? '');
  if (json) await writeJson({ error: { code, message: line } });
  return status;
}
