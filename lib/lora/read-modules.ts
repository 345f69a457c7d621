/** From the tensors of an open file to the modules of an adapter: A and B of each, with shapes that belong together. */
import { KvasirError } from '../errors.js';
import { type Container, rethrow, type TensorEntry } from '../native.js';
import type { LowRankModule } from './low-rank.js';

/** A tensor's place in an adapter. */
export interface Half {
  module: string;
  side: 'a' | 'b';
}

/** More is no adapter of a model that we run. */
const mostRank = 512;

export function damagedAdapter(path: string, why: string): KvasirError {
  return new KvasirError('MODEL_FORMAT', `${path} is no sound LoRA adapter: ${why}.`);
}

export function unsupportedAdapter(path: string, what: string): KvasirError {
  return new KvasirError(
    'UNSUPPORTED_ARCHITECTURE',
    `The adapter ${path} has ${what}, which is not supported. Merge it into its model with the library that made it, and load that.`,
  );
}

interface Pair {
  a?: TensorEntry;
  b?: TensorEntry;
}

/**
 * @param halfOf which half of which module a tensor is; it throws for what is neither
 * @param scaleOf by a module's name and rank
 * @throws MODEL_FORMAT naming a tensor without its other half, or one of another shape.
 */
export async function readModules(
  path: string,
  container: Container,
  halfOf: (tensor: string) => Half,
  scaleOf: (module: string, rank: number) => number,
): Promise<LowRankModule[]> {
  const pairs = new Map<string, Pair>();
  for (const entry of container.tensors) {
    const { module, side } = halfOf(entry.name);
    const pair = pairs.get(module) ?? {};
    if (pair[side]) throw damagedAdapter(path, `${module} has two tensors ${side.toUpperCase()}`);
    pair[side] = entry;
    pairs.set(module, pair);
  }
  if (pairs.size === 0) throw damagedAdapter(path, 'it has no tensors');
  const modules: LowRankModule[] = [];
  for (const [name, pair] of pairs) modules.push(await readModule(path, container, name, pair, scaleOf));
  return modules;
}

async function readModule(
  path: string,
  container: Container,
  name: string,
  { a, b }: Pair,
  scaleOf: (module: string, rank: number) => number,
): Promise<LowRankModule> {
  if (!a || !b) throw damagedAdapter(path, `${name} has no tensor ${a ? 'B' : 'A'}`);
  const [rank = 0, inputs = 0] = a.shape;
  const [outputs = 0, columns = 0] = b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || rank !== columns || rank === 0) {
    const shapes = `A [${a.shape.join(', ')}] and B [${b.shape.join(', ')}]`;
    throw damagedAdapter(path, `${name} has ${shapes}, which must be [rank, inputs] and [outputs, rank]`);
  }
  if (rank > mostRank) throw unsupportedAdapter(path, `rank ${rank} in ${name} (at most ${mostRank})`);
  return {
    name,
    rank,
    inputs,
    outputs,
    a: await container.readRows(a.name, 0, rank).catch(rethrow),
    b: await container.readRows(b.name, 0, outputs).catch(rethrow),
    scale: scaleOf(name, rank),
  };
}
