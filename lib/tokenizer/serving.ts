/**
 * What runs on the tokenizer's thread: it builds the tokenizer, hands its token table to the main thread, then encodes what
 * it is sent, one text after the other.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { KvasirError } from '../errors.js';
import { quietMs } from '../quiet.js';
import type { Segment } from '../templates/text.js';
import type { ChatTemplate } from './chat-template.js';
import type { ChatMessage } from './chat-messages.js';
import { createDecoder } from './decoders/decoder.js';
import { EncodingPipeline } from './encoding-pipeline.js';
import type { TokenizerDefinition } from './definition.js';
import { loadDefinition } from './load-definition.js';
import {
  type ChatRequest,
  type EncodeRequest,
  idle,
  opening,
  type PartRequest,
  type ReadyMessage,
  type Reply,
  type Request,
  type SentError,
  Shared,
  type ThreadRequest,
  type WorkerStart,
} from './protocol.js';
import type { TokenizerSource } from './source.js';
import { buildTokenTable } from './build-token-table.js';
import { unitsOfToken } from './units-of-token.js';
import { checkVocabularySize } from './vocabulary-size.js';
import { EncodingStopped, longestText, stoppable } from './work.js';

/** Spellings that end a turn, for files that declare only the end of a document. */
const turnEnds = [
  '<|im_end|>',
  '<|eot_id|>',
  '<|eom_id|>',
  '<end_of_turn>',
  '<|end|>',
  '<|endoftext|>',
  '<|end_of_text|>',
];

const shared = new Int32Array((workerData as WorkerStart).shared);
const port = parentPort!;

/** Whoever owns the thread has done with it. */
const ending = (): boolean => Atomics.load(shared, Shared.ending) === 1;
/** In ms of `performance.now()`. */
let lastWork = performance.now();

let served: Served | undefined;
let replies: MessagePort | undefined;
/** Of requests that are still to come. */
const parts = new Map<number, PartRequest['part'][]>();

function sent(cause: unknown, code: string, what: string): SentError {
  if (cause instanceof KvasirError) return { code: cause.code, message: cause.message };
  // An array, a string or the stack has become too large.
  if (cause instanceof RangeError) {
    return { code: 'LIMIT_EXCEEDED', message: `${what}: it takes too much (${cause.message}).` };
  }
  return { code, message: `${what}: ${cause instanceof Error ? cause.message : String(cause)}` };
}

/** A token id, where a definition has one there. */
const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

function describe(pipeline: EncodingPipeline): ReadyMessage {
  const { json, specialTokens, chatTemplates, warning } = pipeline.definition;
  const special = [...pipeline.addedTokens].filter((token) => token.special);
  const id = (token: string | undefined): number | undefined =>
    token === undefined ? undefined : pipeline.idOf(token);
  const eos = id(specialTokens.eos);
  const { unk_token: unknown, unk_id: unknownId } = json.model as { unk_token?: unknown; unk_id?: unknown };
  const ends = special.filter((token) => turnEnds.includes(token.content)).map((token) => token.id);
  const spellings = pipeline.spellings();
  return {
    kind: 'ready',
    table: buildTokenTable(pipeline, json.decoder, spellings),
    specialIds: {
      bos: id(specialTokens.bos),
      eos,
      unknown: typeof unknown === 'string' ? id(unknown) : numberOf(unknownId),
    },
    endTokenIds: [...new Set(eos === undefined ? ends : [...ends, eos])],
    chatTemplates,
    warning,
    longestText,
    unitsOfToken: unitsOfToken(pipeline, spellings),
  };
}

/** A tokenizer and what conversations need beside it, which is built when the first comes. */
class Served {
  #chats: ChatTemplate | undefined;
  constructor(readonly pipeline: EncodingPipeline) {}

  encode({ text, addSpecialTokens, offsets, second }: EncodeRequest, stopped: () => boolean) {
    const options = { addSpecialTokens, stopped };
    if (second !== undefined) {
      const { ids, typeIds } = this.pipeline.encodeFully([text, second], options);
      return { ids, typeIds };
    }
    if (!offsets) return { ids: this.pipeline.encode(text, options) };
    const encoding = this.pipeline.encodeFully([text], options);
    return { ids: encoding.ids, offsets: Int32Array.from(encoding.offsets!) };
  }

  /** The template language is read when the first conversation comes: a load does not wait for it. */
  async render({ messages, options }: ChatRequest, stopped: () => boolean): Promise<Segment[]> {
    const { chatTemplates, specialTokens } = this.pipeline.definition;
    if (this.#chats === undefined) {
      const { ChatTemplate } = await import('./chat-template.js');
      this.#chats ??= new ChatTemplate(chatTemplates, specialTokens);
    }
    const chats = this.#chats;
    return stoppable(stopped, () => chats.render(messages, options));
  }
}

async function answer(served: Served, request: Request): Promise<Reply> {
  const { id } = request;
  const stop = request.stop && new Int32Array(request.stop);
  const stopped = (): boolean => ending() || (stop !== undefined && Atomics.load(stop, 0) === 1);
  try {
    if (stopped()) return { kind: 'stopped', id };
    if (request.kind === 'encode') return { kind: 'encoded', id, ...served.encode(request, stopped) };
    const segments = await served.render(request, stopped);
    if (request.wanted === 'ids')
      return { kind: 'encoded', id, ids: served.pipeline.encodeSegments(segments, { stopped }) };
    return { kind: 'rendered', id, text: segments.map(({ text }) => text).join('') };
  } catch (cause) {
    if (cause instanceof EncodingStopped) return { kind: 'stopped', id };
    return { kind: 'failed', id, error: sent(cause, 'INTERNAL', 'The text could not be encoded') };
  }
}

/** With the parts that came before. */
function whole(request: Request): Request {
  const before = parts.get(request.id);
  if (before === undefined) return request;
  parts.delete(request.id);
  if (request.kind === 'encode') {
    return { ...request, text: (before as string[]).join('') + request.text };
  }
  return { ...request, messages: [...(before as ChatMessage[][]).flat(), ...request.messages] };
}

async function serveRequest(request: Request): Promise<void> {
  // One that could not be built answers nothing: its thread ends.
  if (served === undefined || ending()) return;
  Atomics.store(shared, Shared.current, request.id);
  const reply = await answer(served, whole(request));
  rest();
  const transfer = reply.kind === 'encoded' ? [reply.ids.buffer as ArrayBuffer] : [];
  if (!request.synchronous) {
    port.postMessage(reply, transfer);
    return;
  }
  replies?.postMessage(reply, transfer);
  Atomics.add(shared, Shared.answers, 1);
  Atomics.notify(shared, Shared.answers);
}

function rest(): void {
  lastWork = performance.now();
  Atomics.store(shared, Shared.current, idle);
}

function build(definition: TokenizerDefinition): [EncodingPipeline, ReadyMessage] {
  const pipeline = new EncodingPipeline(definition);
  return [pipeline, describe(pipeline)];
}

async function open(source: TokenizerSource): Promise<Served | undefined> {
  try {
    const definition = await loadDefinition(source);
    if (ending()) return undefined;
    const [pipeline, ready] = stoppable(ending, () => build(definition));
    if (source.embeddingRows !== undefined) {
      checkVocabularySize(ready.table.special.length, source.embeddingRows);
    }
    // A decoder that there is not is refused here, where it is read first.
    createDecoder(ready.table.decoder);
    const { bytes, offsets, special } = ready.table;
    port.postMessage(
      ready,
      [bytes, offsets, special].map((view) => view.buffer as ArrayBuffer),
    );
    return new Served(pipeline);
  } catch (cause) {
    if (cause instanceof EncodingStopped) return undefined;
    port.postMessage({ kind: 'broken', error: sent(cause, 'MODEL_FORMAT', 'The tokenizer cannot be built') });
    return undefined;
  }
}

async function serve(request: ThreadRequest): Promise<void> {
  switch (request.kind) {
    case 'open':
      if (ending()) return;
      Atomics.store(shared, Shared.current, opening);
      served = await open(request.source);
      rest();
      return;
    case 'replies':
      replies = request.port;
      return;
    case 'part':
      if (!parts.get(request.id)?.push(request.part)) parts.set(request.id, [request.part]);
      return;
    case 'forget':
      parts.delete(request.id);
      return;
    case 'end':
      served = undefined;
      setTimeout(end, lastWork + quietMs - performance.now());
      return;
    case 'encode':
    case 'chat':
      await serveRequest(request);
      return;
  }
}

/** Nothing is left that keeps the thread running. */
function end(): void {
  replies?.close();
  port.close();
}

/** One after the other, in the order in which they came. */
let last = Promise.resolve();
port.on('message', (request: ThreadRequest) => {
  last = last.then(() => serve(request));
});
