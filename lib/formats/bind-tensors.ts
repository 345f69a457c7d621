/** Binds an architecture's plan to the tensors that a file really has; every disagreement is named. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ArchitecturePlan, StoredTensor } from '../architectures/index.js';
import { KvasirError } from '../errors.js';
import {
  type Container,
  type ModelTensor,
  native,
  rethrow,
  type TensorEntry,
  type TensorMap,
} from '../native.js';
import { specToJson } from '../spec.js';

export interface BoundTensors {
  tensors: TensorMap;
  /** Elements of all stored tensors in use, each counted once. */
  parameters: number;
  /** The dtype that holds most of them. */
  storedDtype: string;
}

const listed = 6;

/** Tensors between two turns of the event loop: half a millisecond, in code that runs for the first time. */
const tensorsPerTurn = 64;

function list(items: readonly string[]): string {
  const more = items.length > listed ? ` and ${items.length - listed} more` : '';
  return items.slice(0, listed).join(', ') + more;
}

/** The canonical tensors that one of the table is made of: weights and biases of its parts, or itself. */
function* canonicalNames({ name, role, parts }: ModelTensor): Iterable<string> {
  if (role !== 'linear') {
    yield name;
    return;
  }
  for (const part of parts) yield* [`${part}.weight`, `${part}.bias`];
}

function checkAll(plan: ArchitecturePlan, missing: readonly string[], extra: readonly string[]): void {
  if (missing.length > 0) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The model file lacks ${missing.length} tensors that a ${plan.architecture} model needs: ${list(missing)}.` +
        ' The file is incomplete, or its configuration belongs to another model.',
      { details: { missing: missing.length } },
    );
  }
  if (extra.length > 0) {
    throw new KvasirError(
      'UNSUPPORTED_ARCHITECTURE',
      `The model file has tensors that the ${plan.architecture} graph would leave out, so its results would be wrong: ${list(extra)}.`,
    );
  }
}

/**
 * Rejects with MODEL_FORMAT for missing tensors and, as native checks them, wrong shapes; with UNSUPPORTED_ARCHITECTURE for
 * tensors nobody would read.
 */
export async function bindTensors(plan: ArchitecturePlan, container: Container): Promise<BoundTensors> {
  const spec = specToJson(plan.spec);
  const settled = plan.tied ? await withoutCopy(plan, container) : plan;
  const bound = await findTensors(settled, native().tensorsOf(spec), container.tensors);
  await nextTurn();
  try {
    native().checkTensors(container.tensors, spec, bound.tensors);
  } catch (error) {
    rethrow(error);
  }
  return bound;
}

const headName = 'lm_head.weight';

/**
 * The plan of a tied model without its head where that is the token table again. A head with other values counts, whatever the
 * configuration says, with a warning: so does the reference.
 */
async function withoutCopy(plan: ArchitecturePlan, container: Container): Promise<ArchitecturePlan> {
  const stored = new Set(container.tensors.map(({ name }) => name));
  const nameOf = (canonical: string): string | undefined =>
    plan.source(canonical)?.places.find(({ name }) => stored.has(name))?.name;
  const head = nameOf(headName);
  const table = nameOf('embed.tokens');
  if (head === undefined || table === undefined) return plan;
  if (head === table || (await container.areCopies(head, table).catch(rethrow))) {
    return {
      ...plan,
      source: (canonical) => (canonical === headName ? undefined : plan.source(canonical)),
      ignored: [...plan.ignored, /^lm_head\.weight$/],
    };
  }
  process.emitWarning(
    `config.json says tie_word_embeddings, but ${head} and ${table} differ: the model runs with ${head}. Set tie_word_embeddings to false to say so.`,
    { type: 'KvasirWarning' },
  );
  return plan;
}

/** The same without a look at shapes. */
export async function findTensors(
  plan: ArchitecturePlan,
  table: readonly ModelTensor[],
  entries: readonly TensorEntry[],
): Promise<BoundTensors> {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const tensors: TensorMap = {};
  const used = new Set<TensorEntry>();
  const missing: string[] = [];
  const find = (stored: StoredTensor, canonical: string): void => {
    const place = stored.places.find(({ name }) => byName.has(name));
    if (place !== undefined) {
      tensors[canonical] = { name: place.name, ...place.view };
      used.add(byName.get(place.name)!);
    } else if (stored.presence === 'required') missing.push(stored.places[0]!.name);
  };
  let inTurn = 0;
  for (const row of table) {
    for (const canonical of canonicalNames(row)) {
      const stored = plan.source(canonical);
      if (stored !== undefined) find(stored, canonical);
    }
    if (++inTurn % tensorsPerTurn === 0) await nextTurn();
  }
  await nextTurn();
  const extra = entries
    .filter((entry) => !used.has(entry) && !plan.ignored.some((pattern) => pattern.test(entry.name)))
    .map((entry) => entry.name);
  checkAll(plan, missing, extra);
  return { tensors, ...count(used) };
}

function count(used: ReadonlySet<TensorEntry>): { parameters: number; storedDtype: string } {
  const perDtype = new Map<string, number>();
  let parameters = 0;
  for (const { dtype, shape } of used) {
    const elements = shape.reduce((product, size) => product * size, 1);
    parameters += elements;
    perDtype.set(dtype, (perDtype.get(dtype) ?? 0) + elements);
  }
  const most = [...perDtype].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
  return { parameters, storedDtype: most[0] };
}
