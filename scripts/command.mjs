// Runs child processes for the other scripts: streams or collects their output, passes Ctrl-C on and remembers it.
// Node built-ins only: this runs before `npm ci`.
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Thrown by `run` callers through `throwIfInterrupted`; scripts turn it into exit status 130. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
    this.name = 'Interrupted';
  }
}

const children = new Set();
let interrupted = false;

/** The shell's convention for a process ended by SIGINT. */
export const interruptedStatus = 130;

/** From here on Ctrl-C reaches the children and the caller gets `Interrupted`, instead of an orphaned build. */
export function watchInterrupt() {
  const stop = (signal) => {
    interrupted = true;
    // A terminal sends Ctrl-C to the whole process group: children have it already, and a second one would
    // ask them to give up their own clean-up.
    if (signal === 'SIGINT' && process.stdin.isTTY) return;
    for (const child of children) child.kill(signal);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

export function throwIfInterrupted() {
  if (interrupted) throw new Interrupted();
}

/**
 * Runs a command to its end and never rejects for its exit status.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, show?: boolean, onLine?: (line: string) => void }} options
 *   `show`: the child writes to this terminal; otherwise its output is collected and handed on line by line.
 * @returns {Promise<{ status: number, output: string }>} status 127: the command does not exist.
 */
export async function run(command, args, { cwd, env, show = false, onLine } = {}) {
  throwIfInterrupted();
  const child = spawn(command, args, { cwd, env, stdio: show ? 'inherit' : ['ignore', 'pipe', 'pipe'] });
  children.add(child);
  let output = '';
  let rest = '';
  const take = (text) => {
    output += text;
    if (!onLine) return;
    const lines = (rest + text).split(/\r?\n|\r/);
    rest = lines.pop();
    for (const line of lines) onLine(line);
  };
  for (const stream of show ? [] : [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', take);
  const status = await new Promise((resolve) => {
    child.on('error', (error) => {
      output += `${error.message}\n`;
      resolve(error.code === 'ENOENT' ? 127 : 126);
    });
    child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? interruptedStatus : 1)));
  });
  children.delete(child);
  if (rest && onLine) onLine(rest);
  if (status === interruptedStatus) interrupted = true;
  throwIfInterrupted();
  return { status, output };
}

/** The npm that runs this script, else the one on PATH. */
export function npmCommand(env = process.env) {
  return env.npm_execpath?.endsWith('npm-cli.js') ? [process.execPath, env.npm_execpath] : ['npm'];
}

/** Runs a script's main function: one message instead of a stack for what the user can mend, 130 after Ctrl-C. */
export async function runMain(main) {
  watchInterrupt();
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    if (error instanceof Interrupted) {
      process.exitCode = interruptedStatus;
      return;
    }
    process.stderr.write(`\n${error.name === 'SetupError' ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}

/** Is this module the command itself, not an import of another? Through a symbolic link too. */
export function isMain(moduleUrl) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl);
}
