/** Runs the built command as users do: `node dist/cli/main.js`. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const examples = fileURLToPath(new URL('../../examples', import.meta.url));
const models = fileURLToPath(new URL('../../models', import.meta.url));

export interface Outcome {
  status: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** The caller's own settings must not reach the command. */
function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('KVASIR_'));
  return { ...Object.fromEntries(own), NO_COLOR: '1', ...env };
}

export class RunningCommand {
  readonly child: ChildProcessWithoutNullStreams;
  readonly #outcome: Promise<Outcome>;
  stdout = '';
  stderr = '';
  #changed: () => void = () => {};

  constructor(file: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.child = spawn(file, args, { env: cleanEnvironment(env) });
    this.child.stdin.on('error', () => {});
    this.child.stdout.setEncoding('utf8').on('data', (text) => this.#take('stdout', text));
    this.child.stderr.setEncoding('utf8').on('data', (text) => this.#take('stderr', text));
    this.#outcome = new Promise((resolve) => {
      this.child.on('close', (status, signal) => {
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr });
        this.#changed();
      });
    });
  }

  /** Resolves when the output so far satisfies `condition`; rejects when the command ends before. */
  async until(condition: (self: RunningCommand) => boolean): Promise<void> {
    while (!condition(this)) {
      const { exitCode, signalCode } = this.child;
      if (exitCode !== null || signalCode !== null) {
        throw new Error(`ended too early (${exitCode ?? signalCode})\n${this.stdout}\n${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** Closes stdin and waits. A command that does not end in time is killed: its status is then null. */
  async end(input = '', limitMs = 40_000): Promise<Outcome> {
    this.child.stdin.end(input);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), limitMs);
    try {
      return await this.#outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  #take(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    this.#changed();
  }
}

/** A program of examples/ as it stands. */
export function runExample(path: string, args: readonly string[], input = ''): Promise<Outcome> {
  const program = join(examples, path);
  return new RunningCommand(process.execPath, [program, ...args], { KVASIR_THREADS: '1' }).end(
    input,
    450_000,
  );
}

export function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
  return new RunningCommand(process.execPath, [command, ...args], env);
}

export function kvasir(
  args: readonly string[],
  { input, env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<Outcome> {
  return start(args, env).end(input);
}

/** util-linux' `script` gives a command a terminal. */
export const hasTerminal = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes(
  'util-linux',
);

/** The command at a terminal of its own: both its output streams come as `stdout`. */
export function startAtTerminal(args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
  // Without `exec` a dash would wait in the terminal's foreground too, and end with 130 after any Ctrl-C.
  const line = `exec ${[process.execPath, command, ...args].map((word) => `'${word}'`).join(' ')}`;
  return new RunningCommand('script', ['-qefc', line, '/dev/null'], { TERM: 'xterm', ...env });
}

/**
 * stories-260k with room for long texts and with a chat template; the caller removes the folder.
 * Its rotary embedding has no limit, so positions beyond its training give text, if no sense.
 */
export function makeChatModel(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-cli-'));
  cpSync(join(models, 'stories-260k'), folder, { recursive: true });
  const edit = (name: string, change: object) => {
    const path = join(folder, name);
    const content = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...content, ...change }));
  };
  edit('config.json', { max_position_embeddings: 65536 });
  edit('tokenizer_config.json', {
    chat_template:
      "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}",
  });
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
