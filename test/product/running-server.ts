/** `kvasir serve` as a process of its own, on a port that is free. */
import type { ChildProcess } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { makeChatModel, type RunningCommand, start } from '../cli/cli-command.js';

export interface LogLine {
  event: string;
  [name: string]: unknown;
}

export class RunningServer {
  readonly address: string;
  readonly port: number;
  readonly #command: RunningCommand;
  readonly #remove: () => void;

  private constructor(command: RunningCommand, address: string, remove: () => void) {
    this.#command = command;
    this.address = address;
    this.port = Number(new URL(address).port);
    this.#remove = remove;
  }

  /** Serves stories-260k with a chat template as `stories`. */
  static async start(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<RunningServer> {
    const { folder, remove } = makeChatModel();
    const flags = ['--port', '0', '--threads', '1', '--kv-capacity', '32768', ...args];
    const command = start(['serve', `stories=${folder}`, ...flags], env);
    await command.until(({ stdout }) => stdout.includes('\n'));
    return new RunningServer(command, command.stdout.trim(), remove);
  }

  get child(): ChildProcess {
    return this.#command.child;
  }

  /** Lines of the log so far. */
  get log(): LogLine[] {
    const lines = this.#command.stderr.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** Resolves when the log has such a line. */
  async logged(condition: (line: LogLine) => boolean): Promise<void> {
    await this.#command.until(() => this.log.some(condition));
  }

  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(this.address + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      ...init,
    });
  }

  async running(): Promise<number> {
    return (await this.#health()).running;
  }

  async waiting(): Promise<number> {
    return (await this.#health()).waiting;
  }

  async #health(): Promise<{ running: number; waiting: number }> {
    const reply = await fetch(`${this.address}/health`);
    return (await reply.json()) as { running: number; waiting: number };
  }

  /** A bare connection. */
  connect(): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, '127.0.0.1', () => resolve(socket));
      socket.once('error', reject);
    });
  }

  /** SIGTERM, and what the process ended with. */
  async stop(): Promise<{ status: number | null; stderr: string }> {
    this.child.kill('SIGTERM');
    const outcome = await this.#command.end();
    this.#remove();
    return outcome;
  }

  /** What it ends with when somebody else ended it. */
  async ended(): Promise<{ status: number | null; stderr: string }> {
    const outcome = await this.#command.end();
    this.#remove();
    return outcome;
  }
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('It never comes true.');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
