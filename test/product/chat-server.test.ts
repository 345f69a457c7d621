/** The chat server of examples/ runs as it stands: it streams, and goes on when clients leave. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { makeChatModel, RunningCommand } from '../cli/cli-command.js';

const example = join(packageRoot, 'examples', 'chat-server', 'server.mjs');
let command: RunningCommand;
let address: string;
let remove: () => void;

beforeAll(async () => {
  const made = makeChatModel();
  remove = made.remove;
  command = new RunningCommand(process.execPath, [example, made.folder, '0'], { KVASIR_THREADS: '1' });
  await command.until(({ stdout }) => stdout.includes('\n'));
  address = command.stdout.trim();
});
afterAll(async () => {
  command.child.kill('SIGTERM');
  await command.end();
  remove();
});

const ask = (body: string, signal?: AbortSignal) => fetch(address, { method: 'POST', body, signal });

it('streams an answer', async () => {
  const response = await ask('Once upon a time');
  let pieces = 0;
  let text = '';
  for await (const piece of response.body!) {
    pieces++;
    text += Buffer.from(piece).toString();
  }
  expect(pieces).toBeGreaterThan(5);
  expect(text.length).toBeGreaterThan(100);
});

it('says what is wrong', async () => {
  const response = await ask('x '.repeat(20_000));
  expect(response.status).toBe(400);
  expect(await response.text()).toContain('tokens');
});

it('ends the run of a client that leaves, and goes on', async () => {
  // A short answer may be over before the client is gone.
  for (let i = 0; i < 20 && !command.stdout.includes('abort'); i++) {
    const leave = new AbortController();
    const response = await ask('Once upon a time', leave.signal);
    await response.body!.getReader().read();
    leave.abort();
    const before = command.stdout.length;
    await Promise.race([
      command.until(({ stdout }) => stdout.length > before),
      new Promise((resolve) => setTimeout(resolve, 500)),
    ]);
  }
  expect(command.stdout).toContain('abort');
  expect((await (await ask('One day')).text()).length).toBeGreaterThan(100);
});
