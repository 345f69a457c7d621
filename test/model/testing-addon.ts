/** Loads kvasir_testing.node: intermediate tensors of the graph that generates, and tensors as the loader reads them. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type NativeLoadOptions, packageRoot, type TensorMap } from '../../lib/native.js';
import { type ModelSpec, specToJson } from '../../lib/spec.js';

export interface Tap {
  name: string;
  rows: number;
  columns: number;
  /** [rows, columns] */
  values: Float32Array;
}

export interface TraceStep {
  /** `index` names a sequence of this trace; it is made when it is first met. */
  sequences: { index: number; tokens: Int32Array }[];
  /** Ascending indices into the step's tokens whose logits are wanted. */
  rows: Int32Array;
}

interface TraceRequest {
  paths: string[];
  spec: ModelSpec;
  tensors: TensorMap;
  options: NativeLoadOptions;
  /** Kernel table; default: as KVASIR_CPU_ISA says. */
  isa?: string;
  steps: TraceStep[];
}

interface TestingAddon {
  trace(request: Omit<TraceRequest, 'spec'> & { spec: string }): Tap[][];
  readTensor(paths: string[], name: string): Float32Array;
  readSource(paths: string[], tensors: TensorMap, rows: number, columns: number): Float32Array;
}

function load(): TestingAddon {
  const path = join(packageRoot, 'build/Release/kvasir_testing.node');
  if (!existsSync(path)) throw new Error(`${path} is missing: node scripts/setup.mjs --testing`);
  return createRequire(import.meta.url)(path) as TestingAddon;
}

const addon = load();

/** Values of the tensor, row after row as the file has them. */
export const readTensor: TestingAddon['readTensor'] = addon.readTensor;

/** Values of the one tensor of a map, [rows, columns], as a load reads it: with its view and its scales. */
export const readSource: TestingAddon['readSource'] = addon.readSource;

/** Loads the model, runs the steps, and gives for each step its taps by name; a tap in several parts is joined. */
export function trace(request: TraceRequest): Map<string, Tap>[] {
  return addon.trace({ ...request, spec: specToJson(request.spec) }).map((taps) => {
    const byName = new Map<string, Tap>();
    for (const tap of taps) {
      const before = byName.get(tap.name);
      if (before === undefined) {
        byName.set(tap.name, tap);
        continue;
      }
      const values = new Float32Array(before.values.length + tap.values.length);
      values.set(before.values);
      values.set(tap.values, before.values.length);
      byName.set(tap.name, { ...before, rows: before.rows + tap.rows, values });
    }
    return byName;
  });
}
