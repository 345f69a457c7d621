// The run: every engine in turn, round after round, one at a time.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, throwIfInterrupted } from '../command.mjs';
import { familyOf, kvasirModel, models, startEngine } from './engines.mjs';
import { bestOf, shareOf } from './limits.mjs';
import { quantityOf, summarize } from './statistics.mjs';
import { works } from './works.mjs';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const warmUp = { tokens: 4, prompt: 64, batch: 1 };

export class Comparison {
  /** Samples by `work engine` and by single, one per round. */
  samples = new Map();
  singles = new Map();
  /** Why an engine or a single was not measured. */
  missing = new Map();
  /** All that was measured of what the machine can do, by table of kernels. */
  limits = new Map();
  /** Kvasir's shares of the limits, by `work engine`, one per round. */
  shares = new Map();
  /** What Kvasir says of itself, by engine. */
  facts = new Map();
  #engines = new Map();
  #seed = 1;

  /** @param {{ scratch: string, model: string, threads: number, rounds: number, show: object }} options */
  constructor(options) {
    this.options = options;
    this.total = 0;
    this.done = 0;
  }

  /** Loads every engine that the pairs name, one after the other; one that cannot be loaded goes to `missing`. */
  async start(pairs) {
    for (const id of new Set(pairs.map(({ engine }) => engine))) {
      if (this.missing.has(id)) continue;
      throwIfInterrupted();
      this.options.show.update(`loading ${id}`);
      const engine = startEngine(id, this.options);
      this.#engines.set(id, engine);
      try {
        const facts = (await engine.start?.()) ?? {};
        if (familyOf(id) === 'kvasir') this.facts.set(id, facts);
        if (engine.start) await engine.measure(warmUp, this.#prompts(warmUp));
      } catch (error) {
        this.#giveUp(id, error);
      }
    }
  }

  /** All rounds. @param {string[]} singles names of works.mjs */
  async run(pairs, singles) {
    this.total = this.options.rounds * (pairs.length + singles.length);
    for (let round = 0; round < this.options.rounds; round++) {
      // The same prompts for all engines of a work, others in every round: no cache of prefixes may find them.
      const prompts = new Map(pairs.map(({ work }) => [work, undefined]));
      for (const work of prompts.keys()) prompts.set(work, this.#prompts(works[work]));
      for (const { work, engine } of pairs) await this.#turn(work, engine, prompts.get(work));
      for (const single of singles) await this.#single(single);
    }
  }

  /** @returns {Map<string, object>} summaries by `work engine` */
  results() {
    return summaries(this.samples);
  }

  shareResults() {
    return summaries(this.shares);
  }

  singleResults() {
    return summaries(this.singles);
  }

  close() {
    for (const engine of this.#engines.values()) engine.close();
  }

  async #turn(work, id, prompts) {
    this.#progress(`${work} ${id}`);
    const key = `${work} ${id}`;
    const engine = this.#engines.get(id);
    const facts = works[work].quantity === 'first' ? undefined : this.facts.get(id);
    let value = null;
    let share = null;
    try {
      if (engine && !this.missing.has(id)) {
        const before = facts && (await this.#measureLimits(facts.kernels));
        value = quantityOf(works[work], await engine.measure(works[work], prompts));
        if (facts) share = this.#shareOf(work, id, value, [before, await this.#measureLimits(facts.kernels)]);
      }
    } catch (error) {
      this.#giveUp(id, error);
    }
    push(this.samples, key, value);
    if (facts) push(this.shares, key, share);
  }

  #shareOf(work, id, rate, around) {
    const { layerWeights } = models[this.options.model];
    const { weightBytes } = this.facts.get(id);
    return shareOf(works[work], rate, bestOf(around), {
      weightBytes,
      layerWeights,
      isFp32: id.endsWith('fp32'),
    });
  }

  async #single(name) {
    this.#progress(name);
    let value = null;
    try {
      if (!this.missing.has(name)) value = await measureSingle(name, this.options, this.#kernels());
    } catch (error) {
      throwIfInterrupted();
      this.missing.set(name, error.message);
    }
    push(this.singles, name, value);
  }

  async #measureLimits(kernels) {
    const measured = await jsonOf(here('limits_driver.mjs'), [kernels, this.options.threads]);
    push(this.limits, kernels, measured);
    return measured;
  }

  #kernels() {
    return this.facts.get('kvasir-int8')?.kernels ?? 'avx2';
  }

  #giveUp(id, error) {
    throwIfInterrupted();
    this.missing.set(id, error.message);
    this.#engines.get(id)?.close();
    this.#engines.delete(id);
  }

  #progress(what) {
    throwIfInterrupted();
    this.options.show.update(`${++this.done}/${this.total} ${what}`);
  }

  /** Ids that no run of the same command has twice; a linear congruential generator is random enough for that. */
  #prompts({ batch, prompt }) {
    const { vocabulary } = models[this.options.model];
    const next = () => {
      this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return Math.floor((this.#seed / 2 ** 31) * vocabulary);
    };
    return Array.from({ length: batch }, () => Array.from({ length: prompt }, next));
  }
}

function push(map, key, value) {
  map.set(key, [...(map.get(key) ?? []), value]);
}

function summaries(samples) {
  const entries = [...samples].map(([key, values]) => [key, summarize(values)]);
  return new Map(entries.filter(([, summary]) => summary !== undefined));
}

/** Runs a script of ours to its end. @returns the JSON that it printed */
async function jsonOf(script, args) {
  const { status, output } = await run(process.execPath, [script, ...args.map(String)]);
  if (status !== 0) throw new Error(`${script} ended with ${status}: ${output.slice(-300)}`);
  return JSON.parse(output.trim().split('\n').at(-1));
}

/**
 * Milliseconds. A load is that of a process that has just started, right after another one that does not count: its
 * files are in the page cache then, and a virtual machine that gives free memory back to its host has some of its own.
 */
async function measureSingle(name, options, kernels) {
  if (name === 'sampling') {
    const { samplingMs } = await jsonOf(here('sampling_driver.mjs'), [kernels, options.threads]);
    return samplingMs;
  }
  await measureLoad(name, options);
  return measureLoad(name, options);
}

async function measureLoad(name, options) {
  if (name === 'weights-quantized') {
    // From an open container on: what this target speaks of is native work alone.
    const folder = quantizedFolder(options.scratch, options.model);
    return jsonOf(here('../measure/load.mjs'), [folder, 1, 'native']);
  }
  const engine = startEngine(name === 'load-node-llama-cpp' ? 'node-llama-cpp-q8_0' : 'kvasir-int8', {
    ...options,
    ...(name.endsWith('quantized') && { kvasirFile: quantizedFolder(options.scratch, options.model) }),
  });
  try {
    const { loadSeconds } = await engine.start();
    return 1000 * loadSeconds;
  } finally {
    engine.close();
  }
}

function quantizedFolder(scratch, model) {
  return join(scratch, 'models', model, 'kvasir-int8');
}

/** Writes Kvasir's own quantized form with the build that is measured. @returns {Promise<string | undefined>} why not */
export async function prepareQuantized({ scratch, model }) {
  const command = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const folder = quantizedFolder(scratch, model);
  const { output: help } = await run(process.execPath, [command, '--help']);
  if (!/^ +quantize /m.test(help)) return 'this build has no kvasir quantize';
  await rm(folder, { recursive: true, force: true });
  const { status, output } = await run(process.execPath, [
    command,
    'quantize',
    kvasirModel(scratch, model),
    folder,
  ]);
  return status === 0 ? undefined : `kvasir quantize failed: ${output.trim().slice(-200)}`;
}
