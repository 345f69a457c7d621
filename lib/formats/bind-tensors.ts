/** Binds an architecture's plan to the tensors that a file really has; every disagreement is named. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ArchitecturePlan, StoredTensor, View } from '../architectures/index.js';
import { KvasirError } from '../errors.js';
import {
  type Container,
  type ModelTensor,
  native,
  rethrow,
  type TensorEntry,
  type TensorMap,
  type TensorSource,
} from '../native.js';
import { specToJson } from '../spec.js';
import { type FoundTensor, plainForm, type WeightForm } from './scaled-weights.js';

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
export async function bindTensors(
  plan: ArchitecturePlan,
  container: Container,
  form: WeightForm = plainForm,
): Promise<BoundTensors> {
  const spec = specToJson(plan.spec);
  const settled = plan.tied ? await withoutCopy(plan, container, form) : plan;
  const bound = await findTensors(settled, native().tensorsOf(spec), container.tensors, form);
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
async function withoutCopy(
  plan: ArchitecturePlan,
  container: Container,
  form: WeightForm,
): Promise<ArchitecturePlan> {
  const byName = new Map(container.tensors.map((entry) => [entry.name, entry]));
  const find = (canonical: string): FoundTensor | undefined =>
    placeOf(plan.source(canonical)?.places ?? [], byName, form)?.found;
  const head = find(headName);
  const table = find('embed.tokens');
  if (head === undefined || table === undefined) return plan;
  if (await areCopies(container, head, table)) {
    return {
      ...plan,
      source: (canonical) => (canonical === headName ? undefined : plan.source(canonical)),
      ignored: [...plan.ignored, /^lm_head\.weight(_scale(_inv)?)?$/],
    };
  }
  process.emitWarning(
    `config.json says tie_word_embeddings, but ${head.entry.name} and ${table.entry.name} differ: the model runs with ${head.entry.name}. Set tie_word_embeddings to false to say so.`,
    { type: 'KvasirWarning' },
  );
  return plan;
}

/** In all stored bytes, those of scales too. */
async function areCopies(container: Container, a: FoundTensor, b: FoundTensor): Promise<boolean> {
  if (a.entry === b.entry) return true;
  if (!(await container.areCopies(a.entry.name, b.entry.name).catch(rethrow))) return false;
  if (a.scales === undefined || b.scales === undefined) return a.scales === b.scales;
  return container.areCopies(a.scales.name, b.scales.name).catch(rethrow);
}

/** The first of some places that a checkpoint has. */
function placeOf(
  places: StoredTensor['places'],
  byName: ReadonlyMap<string, TensorEntry>,
  form: WeightForm,
): { found: FoundTensor; view?: View } | undefined {
  for (const { name, view } of places) {
    const found = form.find(name, byName);
    if (found !== undefined) return { found, view };
  }
  return undefined;
}

/** The same without a look at shapes. */
export async function findTensors(
  plan: ArchitecturePlan,
  table: readonly ModelTensor[],
  entries: readonly TensorEntry[],
  form: WeightForm = plainForm,
): Promise<BoundTensors> {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const tensors: TensorMap = {};
  const used = new Map<TensorEntry, FoundTensor>();
  const scales = new Set<TensorEntry>();
  const missing: string[] = [];
  const find = (stored: StoredTensor, canonical: string): void => {
    const place = placeOf(stored.places, byName, form);
    if (place !== undefined) {
      const { found, view } = place;
      tensors[canonical] = sourceOf(found, view);
      used.set(found.entry, found);
      if (found.scales !== undefined) scales.add(found.scales);
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
  const ignored = [...plan.ignored, ...form.ignored];
  const extra = entries
    .filter((entry) => !used.has(entry) && !scales.has(entry))
    .filter(({ name }) => !ignored.some((pattern) => pattern.test(name)))
    .map(({ name }) => name);
  checkAll(plan, missing, extra);
  return { tensors, ...count(used.values()) };
}

function sourceOf({ source, transposed }: FoundTensor, view: View = {}): TensorSource {
  const { transposed: wanted, ...rest } = view;
  const turned = (wanted === true) !== (transposed === true);
  return { ...source, ...rest, ...(turned ? { transposed: true } : {}) };
}

function count(used: Iterable<FoundTensor>): { parameters: number; storedDtype: string } {
  const perDtype = new Map<string, number>();
  let parameters = 0;
  for (const { dtype, elements } of used) {
    parameters += elements;
    perDtype.set(dtype, (perDtype.get(dtype) ?? 0) + elements);
  }
  const most = [...perDtype].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
  return { parameters, storedDtype: most[0] };
}
