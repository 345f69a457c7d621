/** The report of a comparison, as `compare()` returns it and `kvasir compare --json` prints it. */
import type { ModelInfo } from '../info.js';
import type { LayerAnalysis } from './layers.js';
import { headlineLengths } from './latency.js';
import type { LatencyRun, LengthSpeedup, MeasuredSpeedup } from './latency-report.js';
import type { ModeMemory } from './memory.js';
import type { KvDtype } from '../native.js';
import type { EmbedSpeed } from './embed-latency.js';
import type { Mode } from './options.js';
import type { Divergence } from './quality.js';
import type { QualityStatistics } from './quality-statistics.js';
import type { Recipe } from './recipe.js';
import type { VectorQuality } from './vectors.js';

/** How a mode really ran. */
export interface ModeReport {
  dtype: 'int8' | 'fp32';
  kvDtype: KvDtype;
  device: string;
  /** Why the device is not a faster one. */
  deviceReason: string;
  /** The kernel table that ran. */
  kernels: string;
  threads: number;
  contextLength: number;
  /** Every linear and its type; norms and biases are FP32 in either mode. */
  linears: Readonly<Record<string, 'int8' | 'fp32'>>;
  loadMs: number;
}

export interface MachineReport {
  cpu: string;
  cores: number;
  platform: string;
  node: string;
  kvasir: string;
  /** Largest distance of quartiles over the median of any speed; absent where speed was not measured. */
  spread?: number;
  /** `spread` is above `spreadBound`: other programs, or the clock, disturbed the measurement. */
  noisy?: boolean;
  spreadBound: number;
  /** Both models were in memory and took turns; else all of one was measured before the other. */
  interleaved?: boolean;
}

export interface QualityReport extends QualityStatistics {
  windows: number;
  windowTokens: number;
  /** Greedy text after a few prompts; absent when the run was interrupted before. */
  firstDivergence?: Divergence[];
}

/** `speedup` of the length that stands for all: see `kvasir compare --help`. */
export interface HeadlineSpeedup extends MeasuredSpeedup {
  promptTokens: number;
}

/** One bound of the caller. */
export interface Check {
  name: 'maxKl' | 'minSpeedup';
  bound: number;
  /** Absent: not measured, which is a failure. */
  value?: number;
  passed: boolean;
  /** One sentence. */
  reason: string;
}

export interface CompareReport {
  model: string;
  architecture: string;
  parameters: number;
  storedDtype: string;
  /** false: interrupted; `missing` says what is not there, or not whole. */
  complete: boolean;
  missing: string[];
  /** Keys of the two modes in this report, the reference first: 'fp32' and 'int8', or 'fp32' and 'fp32 again'. */
  modes: [string, string];
  text: { source: string; bytes: number; tokens: number; windows: number };
  machine: MachineReport;
  fp32?: ModeReport;
  int8?: ModeReport;
  runs: LatencyRun[];
  /** Of the second mode over the first, above 1: faster. */
  speedup?: { ttft: HeadlineSpeedup; prefill: HeadlineSpeedup; decode: HeadlineSpeedup };
  speedupByLength: LengthSpeedup[];
  /** By mode. */
  memory: Record<string, ModeMemory>;
  quality?: QualityReport;
  /** Of a model that gives vectors, in the place of `quality`, and of `runs` and `speedupByLength`. */
  vectors?: VectorQuality;
  embedding?: EmbedSpeed;
  /** Where the error comes from, in the order of the graph; empty where it was not asked for. */
  layers: LayerAnalysis['layers'];
  /** Layers (or linears) by what the output loses when only they are INT8, most sensitive first. */
  sensitivity: LayerAnalysis['sensitivity'];
  /** Why `layers` is empty though it was asked for. */
  layersSkipped?: string;
  /** What `search` found. */
  recipe?: Recipe;
  checks: Check[];
}

export function describeMode(info: ModelInfo, loadMs: number): ModeReport {
  const { dtype, kvDtype, device, deviceReason, kernels, threads, contextLength, linears } = info;
  return { dtype, kvDtype, device, deviceReason, kernels, threads, contextLength, linears, loadMs };
}

/** Keys of the two modes. */
export function modeNames(a: Mode, b: Mode): [string, string] {
  return [a, a === b ? `${b} again` : b];
}

export function headline(all: readonly LengthSpeedup[]): CompareReport['speedup'] {
  if (all.length === 0) return undefined;
  const lengths = headlineLengths(all.map(({ promptTokens }) => promptTokens));
  const at = (wanted: number) => all.find(({ promptTokens }) => promptTokens === wanted)!;
  const of = (metric: 'ttft' | 'prefill' | 'decode', promptTokens: number): HeadlineSpeedup => ({
    ...at(promptTokens)[metric],
    promptTokens,
  });
  return {
    ttft: of('ttft', lengths.prefill),
    prefill: of('prefill', lengths.prefill),
    decode: of('decode', lengths.decode),
  };
}

/** What stands for the speedup as a whole. */
function slowestOf({ speedup, embedding }: CompareReport): { name: string; ratio: number } | undefined {
  if (speedup) {
    const name = speedup.prefill.ratio < speedup.decode.ratio ? 'prefill' : 'decode';
    return { name, ratio: speedup[name].ratio };
  }
  const all = embedding?.speedupByLength ?? [];
  if (all.length === 0) return undefined;
  const { prefill: wanted } = headlineLengths(all.map(({ textTokens }) => textTokens));
  const { ratio } = all.find(({ textTokens }) => textTokens === wanted)!;
  return { name: `a text of ${wanted} tokens`, ratio };
}

export function checkBounds(
  report: CompareReport,
  { maxKl, minSpeedup }: { maxKl?: number; minSpeedup?: number },
): Check[] {
  const checks: Check[] = [];
  const [a, b] = report.modes;
  if (maxKl !== undefined) {
    const value = report.quality?.meanKl;
    const passed = value !== undefined && value <= maxKl;
    const is = value === undefined ? 'was not measured' : `is ${value.toPrecision(4)}`;
    const reason = `The mean KL of ${b} to ${a} ${is}; at most ${maxKl} is allowed.`;
    checks.push({ name: 'maxKl', bound: maxKl, value, passed, reason });
  }
  if (minSpeedup !== undefined) {
    const slowest = slowestOf(report);
    const value = slowest?.ratio;
    const passed = value !== undefined && value >= minSpeedup;
    const is =
      slowest === undefined ? 'was not measured' : `is ${slowest.ratio.toFixed(2)} (${slowest.name})`;
    const reason = `The speedup of ${b} over ${a} ${is}; at least ${minSpeedup} is asked for.`;
    checks.push({ name: 'minSpeedup', bound: minSpeedup, value, passed, reason });
  }
  return checks;
}
