/**
 * `kvasir serve` under 200 clients of another process who ask as fast as they are answered: nothing lost, nothing answered
 * twice, no fault, and beyond its capacity clean refusals. Twenty seconds here, minutes nightly. scripts/measure/server-load.mjs
 * measures the same load.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../../lib/native.js';
import { type Counts, runClients } from '../../scripts/measure/load-clients.mjs';
import { amount } from '../nightly.js';
import { hasThreadClock } from '../thread-clock.js';
import { RunningServer, until } from './running-server.js';

const clients = 200;
const seconds = amount(7, 300);

/**
 * The load, and the most requests that ran and waited at a time. A slow machine may need longer until there was what is
 * `enough` of statuses and of requests that wait.
 */
async function load(
  server: RunningServer,
  enough = (_waiting: number) => true,
): Promise<{ counts: Counts; running: number; waiting: number }> {
  const end = performance.now() + seconds * 1000;
  const last = end + 120_000;
  let [running, waiting, over] = [0, 0, false];
  const watch = async (): Promise<void> => {
    while (!over) {
      running = Math.max(running, await server.running());
      waiting = Math.max(waiting, await server.waiting());
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const watching = watch();
  const counts = await runClients({
    address: server.address,
    clients,
    mostTokens: 12,
    until: () => performance.now() > (enough(waiting) ? end : last),
  });
  over = true;
  await watching;
  return { counts, running, waiting };
}

async function residentBytes(server: RunningServer): Promise<number> {
  const text = await (await fetch(`${server.address}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)![1]);
}

/** What the server itself says of its requests: each is logged once. */
function statusesOf(server: RunningServer): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { event, path, status } of server.log) {
    if (event === 'request' && path === '/v1/completions')
      counts[String(status)] = (counts[String(status)] ?? 0) + 1;
  }
  return counts;
}

/** What it says once it has said it of as many as were asked: its log comes through a pipe, later than the answers. */
async function allStatusesOf(server: RunningServer, asked: number): Promise<Record<string, number>> {
  await until(async () => Object.values(statusesOf(server)).reduce((sum, count) => sum + count, 0) >= asked);
  return statusesOf(server);
}

/** What callbacks of the server's main thread took since the last time; see scripts/measure/callback-probe.mjs. */
async function callbacksOf(
  server: RunningServer,
  file: string,
): Promise<{ callbacks: number; longestOwnMs: number }> {
  rmSync(file, { force: true });
  server.child.kill('SIGUSR2');
  await until(async () => existsSync(file) && readFileSync(file, 'utf8').endsWith('\n'));
  return JSON.parse(readFileSync(file, 'utf8'));
}

describe('with room for all of them', () => {
  let server: RunningServer;
  let scratch: string;
  let probed: string;
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'kvasir-load-'));
    probed = join(scratch, 'callbacks.json');
    const probe = pathToFileURL(join(packageRoot, 'scripts', 'measure', 'callback-probe.mjs')).href;
    const env = hasThreadClock ? { NODE_OPTIONS: `--import ${probe}`, KVASIR_PROBE: probed } : {};
    server = await RunningServer.start(['--max-queue', '1024'], env);
  });
  afterAll(async () => {
    await server.stop();
    rmSync(scratch, { recursive: true });
  });

  it('each request is answered once and whole, memory stays, and no callback takes long', async () => {
    const { counts: first } = await load(server);
    const warm = await residentBytes(server);
    // What the first load brought V8 had to compile.
    if (hasThreadClock) await callbacksOf(server, probed);
    const { counts, running } = await load(server);
    expect(counts.faults).toEqual([]);
    expect(counts.refused).toBe(0);
    expect(counts.answered).toBe(counts.asked);
    expect(counts.answered).toBeGreaterThan(clients);
    expect(running).toBeGreaterThan(8);
    expect(running).toBeLessThanOrEqual(64);
    const statuses = await allStatusesOf(server, first.asked + counts.asked);
    expect(statuses).toEqual({ 200: first.answered + counts.answered });
    expect((await residentBytes(server)) - warm).toBeLessThan(64 * 2 ** 20);
    if (!hasThreadClock) return;
    const { callbacks, longestOwnMs } = await callbacksOf(server, probed);
    expect(callbacks).toBeGreaterThan(counts.answered);
    // Where files of tests run side by side, a pause of the collector takes longer.
    expect(longestOwnMs).toBeLessThanOrEqual(amount(20, 8));
  }, 400_000);
});

describe('with room for a quarter of them', () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await RunningServer.start(['--max-concurrent', '16', '--max-queue', '34']);
  });
  afterAll(() => server.stop());

  it('the queue stays bounded and every refusal is a clean 429', async () => {
    const { counts, running, waiting } = await load(server, (most) => {
      const { 200: answered, 429: refused } = statusesOf(server);
      return most > 0 && answered !== undefined && refused !== undefined;
    });
    expect(counts.faults).toEqual([]);
    expect(counts.refused).toBeGreaterThan(0);
    expect(counts.answered).toBeGreaterThan(0);
    expect(counts.answered + counts.refused).toBe(counts.asked);
    expect(running).toBeLessThanOrEqual(16);
    expect(waiting).toBeGreaterThan(0);
    expect(waiting).toBeLessThanOrEqual(34);
    const statuses = await allStatusesOf(server, counts.asked);
    expect(statuses).toEqual({ 200: counts.answered, 429: counts.refused });
  }, 400_000);
});
