/** What the server is doing: kernels, memory and queue, asked for every two seconds while somebody looks. */
import { byId, element } from './elements.js';
import type { ModelEntry, Server } from './events.js';

const everyMs = 2000;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

export class ServerView {
  readonly #list = byId('server');
  readonly #server: Server;
  readonly #onModels: (models: readonly ModelEntry[]) => void;
  #tokens: { at: number; count: number } | undefined;

  /** @param onModels told of what is served, each time */
  constructor(server: Server, onModels: (models: readonly ModelEntry[]) => void) {
    this.#server = server;
    this.#onModels = onModels;
    const next = async () => {
      if (document.visibilityState === 'visible') await this.refresh();
      setTimeout(next, everyMs);
    };
    void next();
  }

  async refresh(): Promise<void> {
    try {
      const [models, metrics] = await Promise.all([this.#server.models(), this.#server.metrics()]);
      this.#onModels(models);
      this.#show([...this.#queue(metrics), ...models.flatMap(linesOf)]);
    } catch (error) {
      this.#show([['Server', (error as Error).message]]);
    }
  }

  #queue(metrics: ReadonlyMap<string, number>): [string, string][] {
    const generated = [...metrics]
      .filter(([name]) => name.startsWith('kvasir:generation_tokens_total'))
      .reduce((sum, [, value]) => sum + value, 0);
    const now = performance.now();
    const before = this.#tokens;
    this.#tokens = { at: now, count: generated };
    const rate = before && (generated - before.count) / ((now - before.at) / 1000);
    return [
      ['Running', String(metrics.get('kvasir:num_requests_running') ?? 0)],
      ['Waiting', String(metrics.get('kvasir:num_requests_waiting') ?? 0)],
      ['Memory', megabytes(metrics.get('process_resident_memory_bytes') ?? 0)],
      ['Generated', `${generated} tokens${rate ? `, ${rate.toFixed(0)}/s` : ''}`],
    ];
  }

  #show(lines: readonly [string, string][]): void {
    this.#list.replaceChildren(
      ...lines.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
    );
  }
}

function linesOf({
  id,
  loaded,
  architecture,
  dtype,
  device,
  kernels,
  memory,
}: ModelEntry): [string, string][] {
  if (!loaded) return [[id, 'loaded at its first request']];
  const parts = [architecture, dtype?.toUpperCase(), device, kernels, memory && megabytes(memory)];
  return [[id, parts.filter(Boolean).join(', ')]];
}
