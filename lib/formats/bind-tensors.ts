/** Binds an architecture's plan to the tensors that a file really has; every disagreement is named. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ArchitecturePlan, TensorSlot } from '../architectures/index.js';
import { KvasirError } from '../errors.js';
import type { TensorEntry, TensorMap, TensorSource } from '../native.js';

export interface BoundTensors {
  tensors: TensorMap;
  /** Elements of all stored tensors in use, each counted once. */
  parameters: number;
  /** The dtype that holds most of them. */
  storedDtype: string;
}

const listed = 6;

/** Slots between two turns of the event loop: half a millisecond, in code that runs for the first time. */
const slotsPerTurn = 64;

function list(items: readonly string[]): string {
  const more = items.length > listed ? ` and ${items.length - listed} more` : '';
  return items.slice(0, listed).join(', ') + more;
}

/** The shape the file must have for this slot. */
function storedShape(slot: TensorSlot): number[] {
  const shape = [slot.storedRows ?? slot.shape[0]!, ...slot.shape.slice(1)];
  return slot.transposed ? shape.reverse() : shape;
}

function sourceOf(slot: TensorSlot, entry: TensorEntry): TensorSource {
  return {
    name: entry.name,
    ...(slot.transposed ? { transposed: true } : {}),
    ...(slot.rowOffset ? { rowOffset: slot.rowOffset } : {}),
  };
}

function checkAll(
  plan: ArchitecturePlan,
  problems: { missing: string[]; misshapen: string[]; extra: string[] },
): void {
  const { missing, misshapen, extra } = problems;
  if (missing.length > 0) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `The model file lacks ${missing.length} tensors that a ${plan.architecture} model needs: ${list(missing)}.` +
        ' The file is incomplete, or its configuration belongs to another model.',
      { details: { missing: missing.length } },
    );
  }
  if (misshapen.length > 0) {
    throw new KvasirError(
      'MODEL_FORMAT',
      `Shapes in the model file disagree with its configuration: ${list(misshapen)}.`,
    );
  }
  if (extra.length > 0) {
    throw new KvasirError(
      'UNSUPPORTED_ARCHITECTURE',
      `The model file has tensors that the ${plan.architecture} graph would leave out, so its results would be wrong: ${list(extra)}.`,
    );
  }
}

/** Rejects with MODEL_FORMAT for missing tensors and wrong shapes, UNSUPPORTED_ARCHITECTURE for tensors nobody would read. */
export async function bindTensors(
  plan: ArchitecturePlan,
  entries: readonly TensorEntry[],
): Promise<BoundTensors> {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  const tensors: TensorMap = {};
  const used = new Set<TensorEntry>();
  const missing: string[] = [];
  const misshapen: string[] = [];
  let inTurn = 0;
  for (const slot of plan.slots()) {
    if (++inTurn % slotsPerTurn === 0) await nextTurn();
    const name = slot.names.find((candidate) => byName.has(candidate));
    const entry = name === undefined ? undefined : byName.get(name);
    if (entry === undefined) {
      if (!slot.optional) missing.push(slot.names[0]!);
      continue;
    }
    const expected = storedShape(slot);
    if (expected.length !== entry.shape.length || expected.some((size, i) => size !== entry.shape[i])) {
      misshapen.push(`${entry.name} is [${entry.shape.join(', ')}], expected [${expected.join(', ')}]`);
    }
    tensors[slot.canonical] = sourceOf(slot, entry);
    used.add(entry);
  }
  await nextTurn();
  const extra = entries
    .filter((entry) => !used.has(entry) && !plan.ignored.some((pattern) => pattern.test(entry.name)))
    .map((entry) => entry.name);
  checkAll(plan, { missing, misshapen: [...new Set(misshapen)], extra });
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
