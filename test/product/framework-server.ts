/** A server of a project as a process of its own, on a free port: what it answers. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Project } from './installed.js';

const patience = 60_000;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * Starts a program that listens on the port that PORT names, asks it for each path, and ends it with all of its children.
 * @returns the bodies of its answers, each of which has status 200
 */
export async function answersOf(
  project: Project,
  command: readonly [string, ...string[]],
  paths: readonly string[],
): Promise<string[]> {
  const port = await freePort();
  const [program, ...args] = command;
  const child = project.start(program, args, { PORT: `${port}` });
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const closed = once(child, 'close');
  let ended = false;
  closed.then(
    () => {
      ended = true;
    },
    (error: Error) => {
      ended = true;
      output += error.message;
    },
  );
  const ask = async (path: string): Promise<string> => {
    for (const until = Date.now() + patience; ; await wait(100)) {
      const reply = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
      const body = await reply?.text();
      if (reply?.status === 200) return body!;
      if (ended || reply !== undefined || Date.now() > until) {
        throw new Error(`${path}: ${reply?.status ?? 'no answer'} ${body ?? ''}\n${output}`);
      }
    }
  };
  try {
    const bodies: string[] = [];
    for (const path of paths) bodies.push(await ask(path));
    return bodies;
  } finally {
    if (!ended) process.kill(-child.pid!, 'SIGTERM');
    await closed.catch(() => {});
  }
}
