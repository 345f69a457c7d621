/**
 * Threads, processes and containers that fetch the same model at the same time: all end with the right bytes, whatever
 * becomes of one of them. The hub has no Range: a second transfer begins with truncating what it writes to.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { beforeEach, describe, expect, test } from 'vitest';
import { newOwner } from '../../lib/hub/lock-owner.js';
import { trickle } from './hub-fake.js';
import { blob, folder, home, hub, pulled, weights } from './pull-hub.js';

const puller = fileURLToPath(new URL('hub-puller.mjs', import.meta.url));
const times = { beatMs: 100, staleMs: 1500, retryDelays: [5, 5, 5] };
/** A process is pid 1 of a namespace of its own. */
const isolates = spawnSync('unshare', ['-pf', 'true']).status === 0;

interface Said {
  started?: number;
  weights?: string;
  origin?: string;
  downloadedBytes?: number;
  failed?: string;
}

/** A process or thread that pulls, and what it says at its end. */
interface Puller {
  started: Promise<Said>;
  ended: Promise<Said | undefined>;
  kill(): void;
}

function childOf(parent: number): number {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => {
    const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent;
  });
  return found === undefined ? expect.fail('unshare has no child') : Number(found);
}

function process1(options: object = times): Puller & { signal(name: 'SIGSTOP' | 'SIGCONT'): void } {
  const [command, ...args] = isolates
    ? ['unshare', '-pf', '--kill-child', process.execPath]
    : [process.execPath];
  const child: ChildProcess = spawn(command!, [...args, puller, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, HF_HOME: home, HF_ENDPOINT: hub.url },
  });
  const said: Said[] = [];
  let tellStart: (said: Said) => void;
  const started = new Promise<Said>((resolve) => {
    tellStart = resolve;
  });
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    said.splice(
      0,
      said.length,
      ...text
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Said),
    );
    if (said.length > 0) tellStart(said[0]!);
  });
  const ended = new Promise<Said | undefined>((resolve) => {
    child.on('close', () => resolve(said[1]));
  });
  /** unshare waits for the one that it started. */
  const inner = (): number => (isolates ? childOf(child.pid!) : child.pid!);
  return {
    started,
    ended,
    kill: () => process.kill(inner(), 'SIGKILL'),
    signal: (name) => process.kill(inner(), name),
  };
}

function thread(): Puller {
  const worker = new Worker(puller, { workerData: times, env: { ...process.env } });
  const said: Said[] = [];
  const started = new Promise<Said>((resolve) => {
    worker.on('message', (message: Said) => {
      said.push(message);
      resolve(said[0]!);
    });
  });
  const ended = new Promise<Said | undefined>((resolve) => {
    worker.on('exit', () => resolve(said[1]));
  });
  return { started, ended, kill: () => void worker.terminate() };
}

const requests = (): number => hub.fileRequests('model.safetensors').length;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(10);
}

function expectWhole(): void {
  expect(readFileSync(blob()).equals(weights)).toBe(true);
  expect(readdirSync(join(folder(), 'blobs')).filter((name) => name.includes('.'))).toEqual([]);
}

/** A transfer of the weights takes so long. */
function slowly(ms: number): void {
  hub.onFile = (request) => {
    if (request.name === 'model.safetensors') void trickle(request, ms / 20);
    else request.serve();
  };
}

beforeEach(() => slowly(400));

describe.each([
  ['processes, each pid 1 of its own namespace where that is permitted', process1],
  ['worker threads', thread],
])('two %s', (_, startWith) => {
  const start = (): Puller => startWith();

  test('fetch it once', async () => {
    const both = [start(), start()];
    const ends = await Promise.all(both.map(({ ended }) => ended));
    expect(ends.map((end) => end?.failed)).toEqual([undefined, undefined]);
    expect(ends.map((end) => end?.downloadedBytes === 0).sort()).toEqual([false, true]);
    expect(requests()).toBe(1);
    expectWhole();
  });

  test('one is killed: the other goes on', async () => {
    slowly(4000);
    const first = start();
    await until(() => requests() === 1);
    slowly(400);
    const second = start();
    await second.started;
    await sleep(100);
    first.kill();
    expect(await first.ended).toBeUndefined();
    expect(await second.ended).toMatchObject({ origin: 'hub' });
    expect(requests()).toBe(2);
    expectWhole();
  });
});

test('one is stopped until its lock has gone to another, and wakes up: nothing is damaged', async () => {
  slowly(4000);
  const first = process1();
  if (isolates) expect((await first.started).started).toBe(1);
  await until(() => requests() === 1);
  await sleep(100);
  first.signal('SIGSTOP');
  const second = process1();
  await until(() => requests() === 2);
  slowly(400);
  await sleep(100);
  first.signal('SIGCONT');
  expect(await second.ended).toMatchObject({ origin: 'hub' });
  const end = await first.ended;
  expect(end).toMatchObject({ origin: 'hub' });
  expect(end?.failed).toBeUndefined();
  expectWhole();
}, 30_000);

test('both believe that they hold the lock, and one truncates what it writes when the other is through', async () => {
  let cut = (): void => {};
  let goOn = (): void => {};
  hub.onFile = ({ name, attempt, response, file: { content }, serve }) => {
    if (name !== 'model.safetensors' || attempt === 2) return serve();
    response.writeHead(200, { 'content-length': content.length });
    response.write(content.subarray(0, content.length / 2));
    if (attempt === 1) cut = () => response.destroy();
    else goOn = () => response.end(content.subarray(content.length / 2));
  };
  // It never says that it lives, and never looks whether the lock is its own.
  const first = process1({ ...times, beatMs: 600_000 });
  await until(() => requests() === 1);
  await sleep(200);
  expect((await pulled({ ...times, staleMs: 500 })).downloadedBytes).toBe(weights.length / 2);
  expectWhole();
  cut();
  await until(() => requests() === 3);
  await sleep(200);
  expect(readFileSync(blob()).equals(weights)).toBe(true);
  goOn();
  expect((await first.ended)?.failed).toBeUndefined();
  expectWhole();
}, 30_000);

describe('a lock file that somebody left', () => {
  const lock = (): string => `${blob()}.lock`;
  const dead = { ...newOwner(), pid: spawnSync('true').pid, started: '1' };

  /** How long a pull takes with this in its way. */
  async function timed(put: () => void, staleMs = times.staleMs): Promise<number> {
    mkdirSync(join(folder(), 'blobs'), { recursive: true });
    put();
    const started = performance.now();
    await pulled({ ...times, staleMs });
    expectWhole();
    return performance.now() - started;
  }

  test.each([
    ['of a process that is gone', () => dead, false],
    ['of this process, which holds none', () => ({ ...newOwner(), nonce: 'mine' }), false],
    [
      'of a process of another namespace with the same pid',
      () => ({ ...newOwner(), pidNamespace: 'pid:[1]' }),
      true,
    ],
    ['of another host', () => ({ ...dead, boot: 'another', host: 'elsewhere' }), true],
    ['of a host that is called the same', () => ({ ...dead, boot: 'another', host: hostname() }), true],
    ['that is no record', () => 'x', true],
  ])('%s', async (_, owner, waits) => {
    const staleMs = waits ? 1000 : 20_000;
    const took = await timed(() => writeFileSync(lock(), JSON.stringify(owner())), staleMs);
    if (waits) expect(took).toBeGreaterThan(staleMs);
    else expect(took).toBeLessThan(staleMs);
  });

  test('a link is not followed', async () => {
    const target = join(home, 'target');
    writeFileSync(target, JSON.stringify(dead));
    await timed(() => symlinkSync(target, lock()));
    expect(readFileSync(target, 'utf8')).toBe(JSON.stringify(dead));
  });

  test('a live holder is waited for, however long', async () => {
    slowly(4000);
    const first = process1();
    await until(() => existsSync(lock()));
    const second = await pulled(times);
    expect(second.downloadedBytes).toBeLessThan(weights.length);
    await first.ended;
    expect(requests()).toBe(1);
    expectWhole();
  });
});
