/** Numbers as people read them. */
import Table from 'cli-table3';
import type { GenerationResult } from '../engine/run.js';
import type { ModelInfo } from '../info.js';

/** Decimal, as disks and downloads count. */
export function size(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

export function rate(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(1)} tokens/s`;
}

export function milliseconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Whole seconds, as `1:05` or `12 s`. */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

const noBorders = Object.fromEntries(
  [
    ['top', 'top-mid', 'top-left', 'top-right'],
    ['bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'],
  ]
    .flat()
    .map((name) => [name, '']),
);

/** Columns under each other, without frames or colours. Rows may be of different lengths only with `head` absent. */
export function columns(rows: readonly (readonly string[])[], head: readonly string[] = []): string {
  const table = new Table({
    head: [...head],
    chars: { ...noBorders, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...rows.map((row) => [...row]));
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** Where it ran, and of a GPU how much. */
function deviceLine({ device, deviceName, gpuLayers, layers }: ModelInfo): string {
  const part = device === 'cpu' ? '' : `, ${gpuLayers} of ${layers} layers`;
  return `${device}, ${deviceName}${part}`;
}

/** Where tokens were drafted. */
function draftLines({ draftedTokens, acceptedTokens }: GenerationResult['timings']): string[][] {
  return draftedTokens === undefined
    ? []
    : [['drafts', `${acceptedTokens} of ${draftedTokens} tokens right`]];
}

/** What is worth knowing after a generation. */
export function generationReport(result: GenerationResult, info: ModelInfo): string {
  const { usage, timings } = result;
  const cached = usage.cachedTokens > 0 ? ` (${usage.cachedTokens} from the cache)` : '';
  const { weights, kv } = info.memory;
  return columns([
    ['time to first token', milliseconds(timings.ttftMs)],
    ['prefill', `${usage.promptTokens} tokens${cached}, ${rate(timings.prefillTokensPerSecond)}`],
    [
      'decode',
      `${usage.completionTokens} tokens, ${rate(timings.decodeTokensPerSecond)}, finish: ${result.finishReason}`,
    ],
    ...draftLines(timings),
    ['memory', `${size(process.memoryUsage.rss())} resident; weights ${size(weights)}, KV cache ${size(kv)}`],
    ['device', deviceLine(info)],
    ['engine', `${info.dtype}, KV ${info.kvDtype}, ${info.kernels} kernels, ${info.threads} threads`],
  ]);
}

/** The same for machines; part of `run --json` and `chat --json`. */
export function engineJson(info: ModelInfo): object {
  const { name, device, deviceName, deviceReason, gpuLayers } = info;
  const { dtype, kvDtype, kernels, threads, contextLength } = info;
  const where = { device, deviceName, deviceReason, gpuLayers };
  return { model: name, ...where, dtype, kvDtype, kernels, threads, contextLength };
}
