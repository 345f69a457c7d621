/** The files of a trace: tensors for those who compute, a timeline for those who look at where the time goes. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeWholeFile } from '../out-file.js';
import { type FloatTensor, writeSafetensors } from '../safetensors-file.js';
import { chromeTrace } from './chrome-trace.js';
import { jsonName, tensorsName } from './folder-names.js';
import { writeNpz } from './npz.js';
import { otlpTraces } from './otlp.js';
import type { Timeline } from './timeline.js';

export const traceFormats = ['safetensors', 'npz', 'chrome', 'otlp'] as const;
export type TraceFormat = (typeof traceFormats)[number];

/** What is written, and as JSON. */
interface Written {
  tokens: readonly unknown[];
  tensors: readonly FloatTensor[];
  timeline: Timeline | undefined;
}

/**
 * @param formats those of time only of a trace with a timeline
 * @param file its tensors, where they are in a file already
 */
export async function writeTrace(
  trace: Written,
  folder: string,
  formats: readonly TraceFormat[],
  file: string | undefined,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const write = (name: string, fill: (path: string) => Promise<void>): Promise<void> =>
    writeWholeFile(join(folder, name), fill);
  const json = (name: string, value: object): Promise<void> =>
    write(name, (path) => writeFile(path, `${JSON.stringify(value)}\n`));
  const isThere = file !== undefined && resolve(file) === resolve(folder, tensorsName);
  if (formats.includes('safetensors') && !isThere) {
    await write(tensorsName, (path) =>
      file === undefined ? writeSafetensors(path, trace.tensors) : copyFile(file, path),
    );
  }
  if (formats.includes('npz')) await write('tensors.npz', (path) => writeNpz(path, trace.tensors));
  if (formats.includes('chrome'))
    await json('timeline.json', chromeTrace(trace.timeline!, trace.tokens.length));
  if (formats.includes('otlp')) await json('spans.json', otlpTraces(trace.timeline!, trace.tokens.length));
  await write(jsonName, (path) => writeFile(path, `${JSON.stringify(trace, null, 1)}\n`));
}
