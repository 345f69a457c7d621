/**
 * From the modules of an adapter's file to the linears of a loaded model. Names are those of the family's table; a tensor
 * that a checkpoint stores as one (query, key and value of Phi-3) gives its rows of B to each of its parts, with the same A.
 * Where GGUF converters turn the rows of query and key, those of B turn with them.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Place, type StoredNames, storedNamesOf } from '../architectures/index.js';
import { KvasirError } from '../errors.js';
import { cut } from '../given.js';
import { type AdapterTensor, type ModelTensor, native } from '../native.js';
import { attentionOf, type ModelSpec, specToJson } from '../spec.js';
import type { AdapterFile, LowRankModule } from './low-rank.js';

/** What is known of the model that an adapter is for. */
export interface Base {
  /** As messages name it. */
  name: string;
  /** Family. */
  architecture: string;
  spec: ModelSpec;
}

/** A linear, or a part of one, that a module of a checkpoint belongs to. */
interface Target {
  canonical: string;
  layer: number;
  rows: number;
  columns: number;
  place: Place;
}

const tensorsPerTurn = 64;

/** By name of the module in a checkpoint. */
async function targetsOf({ spec }: Base, names: StoredNames): Promise<Map<string, Target[]>> {
  const targets = new Map<string, Target[]>();
  const add = (tensor: ModelTensor, part: string, rows: number): void => {
    for (const place of names.places(`${part}.weight`)) {
      const module = place.name.replace(/\.weight$/, '');
      const own = targets.get(module) ?? [];
      own.push({ canonical: part, layer: tensor.layer, rows, columns: tensor.columns, place });
      targets.set(module, own);
    }
  };
  for (const [i, tensor] of native().tensorsOf(specToJson(spec)).entries()) {
    const parts = tensor.role === 'linear' ? tensor.parts.entries() : [];
    for (const [k, part] of parts) add(tensor, part, tensor.partRows[k]!);
    if (i % tensorsPerTurn === 0) await nextTurn();
  }
  return targets;
}

function foreign({ name }: Base, file: AdapterFile, what: string): KvasirError {
  const made = file.baseModel === undefined ? '' : ` The adapter says that it is for ${cut(file.baseModel)}.`;
  return new KvasirError(
    'INVALID_OPTION',
    `The adapter does not fit ${name}: ${what}.${made} Load it with the model that it was made for.`,
    { details: { option: 'adapter' } },
  );
}

/** Throws INVALID_OPTION naming a module that the model does not have, or that has another shape there. */
export async function bindAdapter(base: Base, file: AdapterFile): Promise<AdapterTensor[]> {
  const names = storedNamesOf(base.architecture, file.format === 'peft' ? 'hf' : 'gguf', base.spec);
  if (file.architecture !== undefined && !names.ggufArchitectures.includes(file.architecture)) {
    throw foreign(base, file, `it is for the architecture ${cut(file.architecture)}`);
  }
  const targets = await targetsOf(base, names);
  const tensors: AdapterTensor[] = [];
  for (const module of file.modules) {
    const own = targets.get(module.name);
    if (own === undefined) throw foreign(base, file, `${cut(module.name, 120)} is no linear of its`);
    checkShape(base, file, module, own);
    for (const target of own) tensors.push(tensorOf(base, names, file, module, target));
  }
  return tensors;
}

/** The row of a stored tensor that is row `row` of a part. */
export function storedRow(
  row: number,
  { firstRow = 0, group, stride = 0 }: NonNullable<Place['view']>,
): number {
  if (group === undefined) return firstRow + row;
  return firstRow + Math.floor(row / group) * stride + (row % group);
}

function checkShape(base: Base, file: AdapterFile, module: LowRankModule, own: readonly Target[]): void {
  const { name, rank, inputs, outputs } = module;
  const expected = {
    inputs: own[0]!.columns,
    // The parts of a stored tensor cover it.
    outputs: 1 + Math.max(...own.map(({ rows, place: { view = {} } }) => storedRow(rows - 1, view))),
  };
  if (inputs === expected.inputs && outputs === expected.outputs) return;
  throw foreign(
    base,
    file,
    `${cut(name, 120)} has A [${rank}, ${inputs}] and B [${outputs}, ${rank}], and its linear takes [${rank}, ${expected.inputs}] and [${expected.outputs}, ${rank}]`,
  );
}

function tensorOf(
  { spec }: Base,
  names: StoredNames,
  file: AdapterFile,
  { rank, a, b, scale }: LowRankModule,
  { canonical, layer, rows, place: { view = {} } }: Target,
): AdapterTensor {
  const turn = turnOf(spec, names, file, canonical, layer);
  const own = new Float32Array(rows * rank);
  for (let row = 0; row < rows; row++) {
    const from = storedRow(turn(row), view) * rank;
    own.set(b.subarray(from, from + rank), row * rank);
  }
  return { name: canonical, rank, a, b: own, scale };
}

/**
 * The row of the file's query or key that is row `row` of the model's. Hugging Face checkpoints rotate row i of a head with
 * i + dim / 2, GGUF files of some families 2i with 2i + 1.
 */
function turnOf(
  spec: ModelSpec,
  { ggufTurnsHeads }: StoredNames,
  { format }: AdapterFile,
  canonical: string,
  layer: number,
): (row: number) => number {
  const isTurned = spec.ropes?.[0]?.kind === 'interleaved';
  if (!ggufTurnsHeads || isTurned === (format === 'gguf') || !/\.[qk]$/.test(canonical)) return (row) => row;
  const { headDim } = attentionOf(spec, layer)!;
  const half = headDim / 2;
  return (row) => {
    const i = row % headDim;
    const head = row - i;
    return head + (isTurned ? (i % 2) * half + (i >> 1) : (i % half) * 2 + Math.floor(i / half));
  };
}
