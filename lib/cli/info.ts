/** `kvasir info`: what is in a model file, what it will cost in memory, what will run it. */
import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { chooseDevice } from '../device.js';
import type { Int8Origin } from '../formats/index.js';
import { availableMemory } from '../memory.js';
import { fromNative, native, type TensorEntry } from '../native.js';
import { contextLengthOf, type LoadOptions } from '../options.js';
import { feedForwardOf, firstAttention, layerCount, modelKind } from '../spec.js';
import { activeParametersOf, layerKindsOf, layerKindText } from '../layer-kinds.js';
import { addLoadFlags, loadOptionsOf } from './arguments.js';
import {
  cacheLines,
  type Inspection,
  inspectModel,
  type MemoryPrediction,
  predictMemory,
} from './inspect.js';
import type { Interrupts } from './interrupt.js';
import { writeData, writeJson } from './output.js';
import { allPaths } from './pull.js';
import { columns, size } from './report.js';

const help = `
Reads the headers only (a model that is not on this machine is fetched first). The memory is that of one sequence of
--context-length tokens.`;

interface DtypeCount {
  dtype: string;
  tensors: number;
  bytes: number;
}

export function registerInfo(program: Command, interrupts: Interrupts): void {
  const command = program
    .command('info')
    .description('what is in a model, what it will cost in memory, what will run it')
    .argument('<model>', 'alias, folder, .gguf file or hf:org/name[:file]')
    .addHelpText('after', help)
    .action((reference: string, flags: Record<string, unknown>) => info(reference, flags, interrupts));
  addLoadFlags(command, ['device', 'gpuLayers', 'contextLength', 'threads']).option(
    '--json',
    'print one JSON object',
  );
}

async function info(
  reference: string,
  flags: Record<string, unknown>,
  { signal }: Interrupts,
): Promise<void> {
  const options = loadOptionsOf(flags);
  const inspection = await inspectModel(reference, signal);
  const report = {
    ...(await contents(inspection)),
    ...cost(inspection, options),
    engine: await engine(options),
  };
  if (flags.json) await writeJson(report);
  else await writeData(`${layout(report)}\n`);
}

async function contents({ files, description, tensors, metadata }: Inspection) {
  const { architecture, spec, parameters, storedDtype, int8Origin } = description;
  const attention = firstAttention(spec);
  const paths = allPaths(files);
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return {
    model: files.displayName,
    format: files.kind === 'gguf' ? 'GGUF' : 'safetensors',
    files: paths.map((path, i) => ({ path, bytes: sizes[i]! })),
    architecture,
    kind: modelKind(spec),
    parameters,
    activeParameters: activeParametersOf(description),
    layers: layerCount(spec),
    layerKinds: layerKindsOf(spec),
    heads: attention?.heads ?? 0,
    kvHeads: attention?.kvHeads ?? 0,
    headDim: attention?.headDim ?? 0,
    hiddenSize: spec.hiddenSize,
    ffnSize: feedForwardOf(spec, 0).size,
    maxPositions: spec.maxPositions,
    vocabSize: spec.vocabSize,
    storedDtype,
    ...(int8Origin === undefined ? {} : { int8: int8Form(int8Origin, metadata) }),
    tensors: histogram(tensors),
  };
}

/** What only the INT8 form has. */
function int8Form(origin: Int8Origin, metadata: Inspection['metadata']) {
  return {
    ...origin,
    version: Number(metadata.version),
    rotation: `${metadata.rotation}-${metadata.rotation_size}`,
    groupSize: Number(metadata.group_size),
    scaleDtype: String(metadata.scale_dtype),
    panelColumns: Number(metadata.panel_columns),
  };
}

/** Most bytes first. */
function histogram(tensors: readonly TensorEntry[]): DtypeCount[] {
  const counts = new Map<string, DtypeCount>();
  for (const { dtype, bytes } of tensors) {
    const count = counts.get(dtype) ?? { dtype, tensors: 0, bytes: 0 };
    counts.set(dtype, { dtype, tensors: count.tensors + 1, bytes: count.bytes + bytes });
  }
  return [...counts.values()].sort((a, b) => b.bytes - a.bytes);
}

function cost({ description }: Inspection, options: LoadOptions) {
  const { maxPositions } = description.spec;
  const contextLength = contextLengthOf(options, maxPositions);
  const predict = (dtype: 'int8' | 'fp32'): MemoryPrediction =>
    predictMemory(description, {
      dtype,
      kvDtype: dtype,
      contextLength,
      kvCapacity: contextLength,
      threads: 1,
    });
  return {
    memory: {
      contextLength,
      int8: predict('int8'),
      // The INT8 form has no other weights.
      ...(description.int8Origin === undefined ? { fp32: predict('fp32') } : {}),
      available: availableMemory(),
    },
  };
}

async function engine(options: LoadOptions) {
  const { brand, selected, error, cores } = native().cpu();
  if (selected === undefined) throw fromNative(Object.assign(new Error(error), { code: 'INVALID_OPTION' }));
  const { device, name, reason } = await chooseDevice(options);
  return {
    device,
    deviceName: name ?? brand,
    deviceReason: reason,
    cpu: brand,
    kernels: selected,
    threads: options.threads ?? cores,
  };
}

type Report = Awaited<ReturnType<typeof contents>> &
  ReturnType<typeof cost> & { engine: Awaited<ReturnType<typeof engine>> };

function int8Line({
  source,
  sourceDtype,
  groupSize,
  rotation,
  scaleDtype,
}: ReturnType<typeof int8Form>): string {
  return `of ${source} (${sourceDtype}): groups of ${groupSize}, ${rotation}, ${scaleDtype} scales`;
}

function gpuLine({ device, deviceName, deviceReason }: Report['engine']): string {
  return device === 'cpu' ? deviceReason : `${deviceName}, for the layers that fit: ${deviceReason}`;
}

function parametersText({ parameters, activeParameters: active }: Report): string {
  const all = `${(parameters / 1e6).toFixed(2)} M parameters`;
  return active === parameters ? all : `${all}, ${(active / 1e6).toFixed(2)} M of them for a token`;
}

function layout(report: Report): string {
  const { memory } = report;
  const cells = ({ weights, kv, scratch, total }: MemoryPrediction) =>
    [weights, kv, scratch, total].map(size);
  return [
    columns([
      ['model', report.model],
      [
        'architecture',
        `${report.architecture}${report.kind === 'encoder' ? ', an encoder' : ''}, ${parametersText(report)}`,
      ],
      ['layers', `${report.layers}, hidden ${report.hiddenSize}`],
      ...report.layerKinds.map((kind) => ['', `${kind.layers} with ${layerKindText(kind)}`]),
      ['heads', `${report.heads} of ${report.headDim}, ${report.kvHeads} for keys and values`],
      ['context', `${report.maxPositions} positions`],
      ['vocabulary', `${report.vocabSize} tokens`],
      ...(report.int8 === undefined ? [] : [['INT8 form', int8Line(report.int8)]]),
      [
        'will run on',
        `${report.engine.cpu}: ${report.engine.kernels} kernels, ${report.engine.threads} threads`,
      ],
      [report.engine.device === 'cpu' ? 'no GPU' : report.engine.device, gpuLine(report.engine)],
    ]),
    columns(
      report.files.map(({ path, bytes }) => [path, size(bytes)]),
      [`${report.format} files`, 'size'],
    ),
    columns(
      report.tensors.map(({ dtype, tensors, bytes }) => [dtype, String(tensors), size(bytes)]),
      ['stored as', 'tensors', 'size'],
    ),
    columns(
      [
        ['INT8', ...cells(memory.int8)],
        ...(memory.fp32 === undefined ? [] : [['FP32', ...cells(memory.fp32)]]),
      ],
      [`memory at ${memory.contextLength} tokens`, 'weights', 'KV cache', 'scratch', 'together'],
    ),
    [...cacheLines(memory.int8), `${size(memory.available)} are available.`].join('\n'),
  ].join('\n\n');
}
