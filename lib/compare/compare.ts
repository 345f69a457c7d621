/** `compare`: one model in two modes, measured side by side. What is measured how is in the other files of this room. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { packageVersion } from '../version.js';
import { native } from '../native.js';
import { type LoadOptions, invalidOption } from '../options.js';
import { fitContext, type Readable, readableOf } from './context.js';
import { describeEmbedding, type EmbedSeries, measureEmbedding } from './embed-latency.js';
import { measureLatency, type Series } from './latency.js';
import { describeRun, describeSpeedup, isMeasured, largestSpread } from './latency-report.js';
import { withInspectedPair } from './inspected-pair.js';
import { analyzeLayers } from './layers.js';
import { measureMemory } from './memory.js';
import { ModelPair, type Side } from './model-pair.js';
import {
  checkEncoderSettings,
  type CompareOptions,
  type CompareSettings,
  parseCompareOptions,
} from './options.js';
import { PhaseClock } from './phase-clock.js';
import { compareGreedy, compareWindows, type Divergence } from './quality.js';
import { findRecipe } from './recipe.js';
import { QualityAccumulator } from './quality-statistics.js';
import {
  type CompareReport,
  checkBounds,
  describeMode,
  headline,
  type ModeReport,
  modeNames,
} from './report.js';
import { median, spread } from './speedup.js';
import { compareVectors, piecesOf } from './vectors.js';
import { cutWindows, WINDOW_TOKENS, type Windows } from './windows.js';

/** Quartiles farther apart than this, relative to the median, make a machine noisy. */
const SPREAD_BOUND = 0.1;
/** Memory is measured with a context of so many tokens, all of them in use. */
const MEMORY_CONTEXT = 512;
/** Layers are analyzed over so many tokens, the search for what to keep in FP32 over so many windows. */
const LAYER_WINDOW = 256;
const SEARCH_WINDOWS = 4;
/** A window takes so many times its prefill: half of its rows give whole rows of logits, which are compared. */
const LOGITS_SHARE = 1.5;
/** Of a model that gives vectors so many pieces of the text are compared for each window of others. */
const PIECES_OF_WINDOW = 4;

/** See index.ts. */
export async function compare(reference: string, options: CompareOptions = {}): Promise<CompareReport> {
  if (typeof reference !== 'string' || reference === '') {
    throw invalidOption('reference', reference, "an alias, a path or 'hf:org/name[:file]'");
  }
  const settings = await parseCompareOptions(options);
  settings.signal?.throwIfAborted();
  return new Comparison(reference, settings).run();
}

class Comparison {
  readonly #reference: string;
  readonly #settings: CompareSettings;
  readonly #signal: AbortSignal;
  readonly #clock: PhaseClock;

  constructor(reference: string, settings: CompareSettings) {
    this.#reference = reference;
    this.#settings = settings;
    this.#signal = settings.signal ?? new AbortController().signal;
    this.#clock = new PhaseClock(settings.parts, settings.onProgress);
  }

  async run(): Promise<CompareReport> {
    const { parts } = this.#settings;
    const readable = await readableOf(this.#reference, this.#signal);
    if (readable.isEncoder) return this.#runEncoder(readable);
    const room = fitContext(readable.maxPositions, this.#settings);
    const pair = await ModelPair.load(this.#reference, {
      a: this.#load('a', room.contextLength),
      b: this.#load('b', room.contextLength),
    });
    let report: CompareReport;
    let cut: Windows;
    try {
      cut = await cutWindows(this.#settings.text, (await pair.use('a')).tokenizer, {
        count: this.#settings.windows,
        windowTokens: room.windowTokens,
        signal: this.#signal,
      });
      report = await this.#begin(pair, cut);
      for (const part of parts) {
        if (part === 'latency')
          await this.#part(report, part, () => this.#measureLatency(pair, room.promptLengths, report));
        if (part === 'quality') await this.#part(report, part, () => this.#compareQuality(pair, cut, report));
      }
    } finally {
      await pair.dispose();
    }
    if (parts.includes('layers')) {
      await this.#part(report, 'layers', () => this.#analyzeLayers(cut, report));
    }
    return this.#finish(report, room.contextLength);
  }

  /** A model that gives vectors: what becomes of those, instead of what becomes of the tokens that are predicted. */
  async #runEncoder({ maxPositions }: Readable): Promise<CompareReport> {
    const { parts, text, windows } = this.#settings;
    checkEncoderSettings(this.#settings);
    const pieces = piecesOf(text, PIECES_OF_WINDOW * windows);
    const room = fitContext(maxPositions, { ...this.#settings, decodeTokens: 0 });
    const pair = await ModelPair.load(this.#reference, {
      a: this.#load('a', room.contextLength),
      b: this.#load('b', room.contextLength),
    });
    let report: CompareReport;
    try {
      report = await this.#begin(pair, { windows: [], windowTokens: 0, tokens: 0 });
      for (const part of parts) {
        if (part === 'latency')
          await this.#part(report, part, () => this.#measureEmbedding(pair, room.promptLengths, report));
        if (part === 'quality')
          await this.#part(report, part, () => this.#compareVectors(pair, pieces, report));
      }
    } finally {
      await pair.dispose();
    }
    if (parts.includes('layers'))
      report.layersSkipped = 'It gives vectors, and layers are judged by the tokens that a model predicts.';
    return this.#finish(report, room.contextLength);
  }

  async #finish(report: CompareReport, contextLength: number): Promise<CompareReport> {
    if (this.#settings.parts.includes('memory')) {
      const context = Math.min(MEMORY_CONTEXT, contextLength);
      await this.#part(report, 'memory', () => this.#measureMemory(context, report));
    }
    report.complete = report.missing.length === 0;
    report.checks = checkBounds(report, this.#settings);
    return report;
  }

  #load(side: Side, contextLength: number): LoadOptions {
    const { device, gpuLayers, threads, keepFp32 } = this.#settings;
    const dtype = this.#settings[side];
    return {
      dtype,
      ...(keepFp32 && dtype === 'int8' ? { keepFp32 } : {}),
      contextLength,
      kvCapacity: contextLength,
      ...(device === undefined ? {} : { device }),
      ...(gpuLayers === undefined ? {} : { gpuLayers }),
      ...(threads === undefined ? {} : { threads }),
      signal: this.#signal,
      onProgress: (progress) => this.#clock.loading(progress),
    };
  }

  /** A part is missing until it is whole. An abort ends it with what there is. */
  async #part(report: CompareReport, name: string, work: () => Promise<void>): Promise<void> {
    report.missing.push(name);
    try {
      this.#signal.throwIfAborted();
      await work();
      report.missing.pop();
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    }
  }

  async #begin(pair: ModelPair, cut: Windows): Promise<CompareReport> {
    const { a, b, text, textSource } = this.#settings;
    const modes = modeNames(a, b);
    const { brand, cores } = native().cpu();
    const [one, other] = [(await pair.use('a')).info, (await pair.use('b')).info];
    const { name, architecture, parameters, storedDtype } = one;
    return {
      model: name,
      architecture,
      parameters,
      storedDtype,
      complete: false,
      missing: [],
      modes,
      [modes[0]]: describeMode(one, pair.loadMs.a!),
      [modes[1]]: describeMode(other, pair.loadMs.b!),
      text: {
        source: textSource,
        bytes: Buffer.byteLength(text),
        tokens: cut.tokens,
        windows: cut.windows.length,
      },
      machine: {
        cpu: brand,
        cores,
        platform: `${process.platform} ${process.arch}`,
        node: process.version,
        kvasir: packageVersion(),
        spreadBound: SPREAD_BOUND,
      },
      runs: [],
      speedupByLength: [],
      memory: {},
      layers: [],
      sensitivity: [],
      checks: [],
    };
  }

  async #measureLatency(
    pair: ModelPair,
    promptLengths: readonly number[],
    report: CompareReport,
  ): Promise<void> {
    const { decodeTokens, latencySeconds } = this.#settings;
    const series: Series[] = [];
    const latency = {
      promptLengths,
      decodeTokens,
      seconds: latencySeconds,
      signal: this.#signal,
      onProgress: (done: number, secondsLeft: number) => {
        this.#expectRest(series, report);
        this.#clock.at('latency', done, secondsLeft);
      },
    };
    try {
      await measureLatency(pair, latency, series);
    } finally {
      const [a, b] = report.modes;
      const measured = series.filter(isMeasured).sort((one, other) => one.promptTokens - other.promptTokens);
      report.runs = measured.flatMap((one) => [describeRun(one, 'a', a), describeRun(one, 'b', b)]);
      for (const one of measured) {
        report.speedupByLength.push(describeSpeedup(one));
        await nextTurn();
      }
      report.speedup = headline(report.speedupByLength);
      report.machine.interleaved = pair.bothFit;
      if (measured.length > 0) {
        report.machine.spread = largestSpread(measured);
        report.machine.noisy = report.machine.spread > SPREAD_BOUND;
      }
    }
  }

  async #measureEmbedding(pair: ModelPair, lengths: readonly number[], report: CompareReport): Promise<void> {
    const series: EmbedSeries[] = [];
    try {
      await measureEmbedding(
        pair,
        {
          text: this.#settings.text,
          lengths,
          seconds: this.#settings.latencySeconds,
          signal: this.#signal,
          onProgress: (done, secondsLeft) => this.#clock.at('latency', done, secondsLeft),
        },
        series,
      );
    } finally {
      report.embedding = describeEmbedding(series, report.modes);
      report.machine.interleaved = pair.bothFit;
      const times = report.embedding.runs.map(({ samples }) => spread(samples.ms));
      if (times.length > 0) {
        report.machine.spread = Math.max(...times);
        report.machine.noisy = report.machine.spread > SPREAD_BOUND;
      }
    }
  }

  async #compareVectors(pair: ModelPair, pieces: readonly string[], report: CompareReport): Promise<void> {
    const onProgress = (done: number) => this.#clock.at('quality', done);
    report.vectors = await compareVectors(pair, pieces, { signal: this.#signal, onProgress });
    report.text.tokens = report.vectors.tokens;
  }

  /** What the speeds so far say about the parts to come. */
  #expectRest(series: readonly Series[], { text, modes, ...report }: CompareReport): void {
    const last = series.at(-1);
    if (last === undefined || last.prefill.length === 0) return;
    const secondsPerToken = (['a', 'b'] as const)
      .map((side) => 1 / median(last.prefill.flatMap((quad) => quad[side].map(({ prefill }) => prefill))))
      .reduce((sum, seconds) => sum + seconds, 0);
    const { windowTokens = WINDOW_TOKENS } = this.#settings;
    this.#clock.expect('quality', text.windows * windowTokens * secondsPerToken * LOGITS_SHARE);
    const loadMs = modes.map((mode) => (report as Record<string, unknown>)[mode] as ModeReport);
    const loads = loadMs.reduce((sum, mode) => sum + mode.loadMs, 0) / 1000;
    // Every layer runs once more, and half of the layers after it.
    const { linears = {} } = (report as CompareReport).fp32 ?? {};
    const layers = new Set(Object.keys(linears).flatMap((name) => /^layers\.\d+/.exec(name) ?? [])).size;
    this.#clock.expect('layers', loads + LAYER_WINDOW * secondsPerToken * (2 + layers / 2));
    this.#clock.expect('memory', loads + MEMORY_CONTEXT * secondsPerToken);
  }

  async #compareQuality(pair: ModelPair, cut: Windows, report: CompareReport): Promise<void> {
    const rows = new QualityAccumulator();
    let windows = 0;
    const onWindow = (done: number) => {
      windows = done;
      // Greedy text is about as much work as a window.
      this.#clock.at('quality', done / (cut.windows.length + 1));
    };
    let firstDivergence: Divergence[] | undefined;
    try {
      await compareWindows(pair, cut.windows, rows, { signal: this.#signal, onWindow });
      firstDivergence = await compareGreedy(pair, cut.windows, this.#signal);
    } finally {
      if (rows.rows > 0) {
        report.quality = {
          windows,
          windowTokens: cut.windowTokens,
          ...rows.statistics(),
          ...(firstDivergence && { firstDivergence }),
        };
      }
    }
  }

  async #analyzeLayers({ windows, windowTokens }: Windows, report: CompareReport): Promise<void> {
    const { keepFp32, sensitivity, search, maxKl } = this.#settings;
    const signal = this.#signal;
    const { threads } = report.fp32!;
    const done = await withInspectedPair(
      this.#reference,
      { contextLength: windowTokens, threads, keepFp32, signal },
      async ({ reference, quantized, description }) => {
        const { spec } = description;
        const shared = { reference, quantized, spec, signal };
        const window = windows[0]!.slice(0, LAYER_WINDOW);
        const onProgress = (part: number) => this.#clock.at('layers', part);
        await analyzeLayers({ ...shared, window, full: sensitivity === 'full', onProgress }, report);
        if (!search || maxKl === undefined || (report.quality?.meanKl ?? Number.POSITIVE_INFINITY) <= maxKl) {
          return true;
        }
        const some = windows.slice(0, SEARCH_WINDOWS);
        report.recipe = await findRecipe({
          ...shared,
          windows: some,
          sensitivity: report.sensitivity,
          maxKl,
          onProgress: (part, secondsLeft) => this.#clock.at('search', part, secondsLeft),
        });
        return true;
      },
    );
    if (done === undefined) report.layersSkipped = 'Both modes do not fit in memory together.';
  }

  async #measureMemory(contextLength: number, report: CompareReport): Promise<void> {
    for (const [i, side] of (['a', 'b'] as const).entries()) {
      this.#clock.at('memory', i / 2);
      const options = this.#load(side, contextLength);
      report.memory[report.modes[i]!] = await measureMemory(this.#reference, options, this.#signal);
    }
  }
}
