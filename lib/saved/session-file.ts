/**
 * A session as a file: what was said and asked for as JSON, and what the KV cache holds of it, which native writes and
 * reads (native/runtime/session_file.h: checksums, and those of the model's weights). The file of another model, of one that
 * was loaded otherwise, or one that was cut or changed is refused.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { Engine } from '../engine/engine.js';
import { KvasirError } from '../errors.js';
import { invalidOption } from '../given.js';
import { fromNative, type NativeSessions, NO_ADAPTER, native, rethrow } from '../native.js';
import { writeWholeFile } from '../out-file.js';

/** What a session is beside its cache. */
export interface SessionState {
  messages: readonly unknown[];
  tools?: readonly unknown[];
  template?: string;
  /** 'function': it has to be given again. */
  overflow: string;
  /** Turns that no longer are in its prompts. */
  droppedTurns: number;
}

/** The model of the session that is saved or restored. */
export interface SavingModel {
  engine: Engine;
  native: NativeSessions;
  identity: ModelIdentity;
}

export interface ModelIdentity {
  name: string;
  architecture: string;
  dtype: string;
  kvDtype: string;
  /** SHA-256 of its spec. */
  spec: string;
}

export function specHash(spec: string): string {
  return createHash('sha256').update(spec).digest('hex');
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const schema = v.object({
  model: v.object({
    name: v.string(),
    architecture: v.string(),
    dtype: v.string(),
    kvDtype: v.string(),
    spec: v.string(),
  }),
  session: v.object({
    messages: v.array(v.unknown()),
    tools: v.optional(v.array(v.unknown())),
    template: v.optional(v.string()),
    overflow: v.string(),
    droppedTurns: count,
  }),
  /** What the cache holds: int32 little-endian, base64; empty: nothing. */
  tokens: v.string(),
});
type Saved = v.InferOutput<typeof schema>;

/** Throws INVALID_OPTION. */
export function checkFile(file: unknown): asserts file is string {
  if (typeof file !== 'string' || file === '' || file.includes('\0') || !file.isWellFormed())
    throw invalidOption('file', file, 'the path of a file');
}

/**
 * Writes what `owner` has in the cache, between two steps. It appears whole or not at all, in the place of what was there.
 * @throws INVALID_OPTION when it cannot be written, DISPOSED.
 */
export async function saveSession(
  { engine, native: model, identity }: SavingModel,
  owner: object,
  file: string,
  state: SessionState,
): Promise<void> {
  checkFile(file);
  try {
    await writeWholeFile(file, (partial) =>
      engine.visit(0, async () => {
        const kept = engine.keptOf(owner);
        // An adapter is not part of the file, so what was computed with one could not be told from what was not.
        const own = kept?.adapter === NO_ADAPTER ? kept : undefined;
        const tokens = own ? bytesOf(own.tokens).toString('base64') : '';
        const saved: Saved = { model: identity, session: { ...state } as Saved['session'], tokens };
        await model.saveSequence(own?.sequence ?? -1, JSON.stringify(saved), partial);
      }),
    );
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException;
    if (syscall === undefined) throw fromNative(error);
    throw new KvasirError('INVALID_OPTION', `${file} cannot be written: ${message}`, { cause: error });
  }
}

function bytesOf(tokens: Int32Array): Buffer {
  return Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
}

export interface OpenedSession {
  state: SessionState;
  /** Takes the cache's part into the model's cache for an owner. Rejects with what the file or the cache has against it. */
  adopt(owner: object): Promise<void>;
}

/** Throws MODEL_NOT_FOUND, MODEL_FORMAT, INVALID_OPTION for the session of another model. */
export async function openSession(model: SavingModel, file: string): Promise<OpenedSession> {
  const { text, positions } = await native().readSessionText(file).catch(rethrow);
  const { model: made, session, tokens: encoded } = parsed(file, text);
  checkModel(file, made, model.identity);
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== 4 * positions) throw damaged(file, 'its tokens are others than those of its cache');
  const tokens = new Int32Array(new Uint8Array(bytes).buffer);
  const adopt = async (owner: object): Promise<void> => {
    if (positions === 0) return;
    await model.engine.visit(positions, async () => {
      const sequence = await model.native.restoreSequence(file);
      model.engine.adopt({ sequence, tokens, adapter: NO_ADAPTER }, owner);
    });
  };
  return { state: session, adopt };
}

function damaged(file: string, why: string): KvasirError {
  return new KvasirError(
    'MODEL_FORMAT',
    `${file} is no whole session: ${why}. Save the session again, or get the file again.`,
  );
}

function parsed(file: string, text: string): Saved {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw damaged(file, 'its text is no JSON');
  }
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const [{ path, message }] = result.issues;
  throw damaged(file, `${path?.map(({ key }) => String(key)).join('.') ?? 'its text'}: ${message}`);
}

/** Throws INVALID_OPTION naming what differs. */
function checkModel(file: string, made: Saved['model'], own: ModelIdentity): void {
  const names = ['architecture', 'spec', 'dtype', 'kvDtype'] as const;
  const other = names.find((name) => made[name] !== own[name]);
  if (other === undefined) return;
  const what =
    other === 'spec'
      ? `is of another ${made.architecture} model, ${made.name}`
      : `was saved with ${other} '${made[other]}' (${made.name}), and this model has '${own[other]}'`;
  throw new KvasirError(
    'INVALID_OPTION',
    `The session ${file} ${what}: load the model as it was when the session was saved.`,
    { details: { option: 'file' } },
  );
}
