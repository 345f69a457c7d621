/** Figures for Prometheus, under the names that vLLM gives them, with `kvasir:` in front. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RequestFacts } from './exchange.js';
import type { Queue } from './queue.js';

const seconds = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640];
const tokens = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = this.#counter('http_requests_total', 'Requests by path and status', [
    'path',
    'status',
  ]);
  readonly #promptTokens = this.#counter('prompt_tokens_total', 'Tokens of prompts', ['model_name']);
  readonly #generated = this.#counter('generation_tokens_total', 'Tokens generated', ['model_name']);
  readonly #cacheQueries = this.#counter('prefix_cache_queries_total', 'Tokens of prompts looked up', [
    'model_name',
  ]);
  readonly #cacheHits = this.#counter('prefix_cache_hits_total', 'Of them, those found', ['model_name']);
  readonly #success = this.#counter('request_success_total', 'Answers by how they ended', [
    'model_name',
    'finished_reason',
  ]);
  readonly #firstToken = this.#histogram(
    'time_to_first_token_seconds',
    'From request to first token',
    seconds,
  );
  readonly #perToken = this.#histogram('time_per_output_token_seconds', 'Of tokens after the first', seconds);
  readonly #latency = this.#histogram('e2e_request_latency_seconds', 'From request to end', seconds);
  readonly #queueTime = this.#histogram('request_queue_time_seconds', 'Waiting, loads included', seconds);
  readonly #promptLengths = this.#histogram('request_prompt_tokens', 'Tokens of a prompt', tokens);
  readonly #lengths = this.#histogram('request_generation_tokens', 'Tokens of an answer', tokens);

  constructor(queue: Queue) {
    const registers = [this.#registry];
    new Gauge({
      name: 'kvasir:num_requests_running',
      help: 'Requests that run',
      registers,
      collect() {
        this.set(queue.running);
      },
    });
    new Gauge({
      name: 'kvasir:num_requests_waiting',
      help: 'Requests in the queue',
      registers,
      collect() {
        this.set(queue.waiting);
      },
    });
    new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the process',
      registers,
      collect() {
        this.set(process.memoryUsage.rss());
      },
    });
  }

  /** @param facts of a request that is over. */
  take(facts: RequestFacts): void {
    const { model, ttftMs, msPerToken, queueMs, completionTokens } = facts;
    // Clients may ask for any path: only those of routes become labels.
    this.#requests.inc({ path: facts.route ?? 'other', status: facts.status });
    if (model === undefined) return;
    const label = { model_name: model };
    this.#latency.observe(label, facts.ms / 1000);
    if (queueMs !== undefined) this.#queueTime.observe(label, queueMs / 1000);
    if (ttftMs !== undefined) this.#firstToken.observe(label, ttftMs / 1000);
    if (msPerToken !== undefined) this.#perToken.observe(label, msPerToken / 1000);
    this.#takePrompt(facts, label);
    if (completionTokens === undefined) return;
    this.#generated.inc(label, completionTokens);
    this.#lengths.observe(label, completionTokens);
    for (const reason of facts.finishReasons ?? []) this.#success.inc({ ...label, finished_reason: reason });
  }

  #takePrompt({ promptTokens, cachedTokens }: RequestFacts, label: { model_name: string }): void {
    if (promptTokens === undefined) return;
    this.#promptTokens.inc(label, promptTokens);
    this.#promptLengths.observe(label, promptTokens);
    if (cachedTokens === undefined) return;
    this.#cacheQueries.inc(label, promptTokens);
    this.#cacheHits.inc(label, cachedTokens);
  }

  async read(): Promise<{ type: string; text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #counter<T extends string>(name: string, help: string, labelNames: T[]): Counter<T> {
    return new Counter({ name: `kvasir:${name}`, help, labelNames, registers: [this.#registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): Histogram<'model_name'> {
    return new Histogram({
      name: `kvasir:${name}`,
      help,
      buckets,
      labelNames: ['model_name'],
      registers: [this.#registry],
    });
  }
}
