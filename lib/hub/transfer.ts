/**
 * Brings one file over the network into the cache: streams it into `<blob>.incomplete`, resumes after a cut, reads what
 * has arrived on the disk, checks size and hash, and only then gives it its name. A server that sends too much, too
 * little, something else or the same again ends with DOWNLOAD after a bounded number of bytes and tries.
 */
import { open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KvasirError } from '../errors.js';
import { prepareFolder, syncFolder } from './disk.js';
import { chunksOf, type Endpoint, refusal } from './endpoint.js';
import { readShort } from './short-file.js';
import { PartialFile } from './partial-file.js';
import { type ContentHash, hasContent } from './verified.js';

export interface RemoteFile {
  /** For messages and progress. */
  name: string;
  url: string;
  bytes: number;
  hash: ContentHash;
  /** Where it shall lie. */
  blob: string;
}

export interface TransferOptions {
  endpoint: Endpoint;
  signal?: AbortSignal;
  onProgress?: (phase: 'download' | 'verify', loaded: number) => void;
  /** Pauses before the tries after the first, in ms; a try that brought the file on starts the list again. */
  retryDelays?: readonly number[];
  /** A connection that brings less than 1 KiB in so long counts as cut. Default 30,000 ms. */
  stallMs?: number;
}

export const defaultRetryDelays: readonly number[] = [500, 1000, 2000, 4000];

/** So much more of the file than ever before is progress. */
const leastProgress = 64 << 10;
const leastPace = 1 << 10;
/** What may come over the network for one file, in its sizes. */
const mostTimes = 4;
const smallFile = 1 << 20;

/** A try that failed in a way that another may not. */
class Interrupted extends Error {}
/** What lies in the partial file cannot be part of the file. */
class MustRestart extends Interrupted {}

export class Transfer {
  #partial!: PartialFile;
  /** ETag of the answer that the partial file came from; '' where there is none that says anything about bytes. */
  #etag = '';
  /** Answers that the partial file came from, an earlier run's being one. */
  #sources = 0;
  #received = 0;
  readonly #etagPath: string;

  constructor(
    readonly file: RemoteFile,
    readonly options: TransferOptions,
  ) {
    this.#etagPath = `${file.blob}.etag`;
  }

  /** Returns the bytes that came over the network. Throws DOWNLOAD, MODEL_NOT_FOUND or the signal's reason. */
  async run(): Promise<number> {
    const { file } = this;
    await prepareFolder(dirname(file.blob), file.bytes);
    this.#partial = await PartialFile.open(`${file.blob}.incomplete`, file.bytes, this.#reading());
    try {
      if (this.#partial.bytes > 0) await this.#recallEtag();
      let good = await this.#fetch();
      // Bytes of two sources may not belong together: then, and only then, a wrong hash is worth a second try.
      if (!good && this.#sources > 1) {
        await this.#rewind();
        good = await this.#fetch();
      }
      if (!good) throw await this.#damaged();
      await this.#finish();
      return this.#received;
    } finally {
      await this.#partial.close();
    }
  }

  #reading(): { signal?: AbortSignal; onRead: (bytes: number) => void } {
    const { signal, onProgress } = this.options;
    return { signal, onRead: (bytes) => onProgress?.('verify', bytes) };
  }

  async #damaged(): Promise<KvasirError> {
    const { name, hash } = this.file;
    await this.#discard();
    return new KvasirError(
      'DOWNLOAD',
      `${name} arrived damaged: its ${hash.kind} is not ${hash.hex}. ` +
        'It has been deleted; try again, and if it happens again the source or the network between is to blame.',
      { details: { reason: 'hash' } },
    );
  }

  /** Tries until all bytes are there. Whether they are the right ones. */
  async #fetch(): Promise<boolean> {
    const { signal, retryDelays: delays = defaultRetryDelays } = this.options;
    let furthest = this.#partial.bytes;
    for (let failures = 0; this.#partial.bytes < this.file.bytes; ) {
      try {
        await this.#receive();
      } catch (cause) {
        signal?.throwIfAborted();
        if (!(cause instanceof Interrupted)) throw cause;
        // What is thrown away was none of the file, however much of it came.
        if (cause instanceof MustRestart) await this.#rewind();
        failures = this.#partial.bytes - furthest >= leastProgress ? 1 : failures + 1;
        furthest = Math.max(furthest, this.#partial.bytes);
        if (failures > delays.length || this.#received > this.#mostBytes()) throw await this.#givingUp(cause);
        await sleep(delays[failures - 1], undefined, { signal }).catch(() => signal?.throwIfAborted());
      }
    }
    return this.#partial.isGood(this.file.hash, this.#reading());
  }

  #mostBytes(): number {
    return mostTimes * this.file.bytes + smallFile;
  }

  async #givingUp(cause: Error): Promise<KvasirError> {
    const { name, bytes: total } = this.file;
    const kept = this.#partial.bytes;
    if (kept === 0) await this.#discard();
    const next =
      kept === 0
        ? 'Try again later; if it happens again the source or the network between is to blame.'
        : `${kept} of ${total} bytes are kept; run the same command again to go on from there.`;
    return new KvasirError('DOWNLOAD', `The download of ${name} was cut off: ${cause.message}. ${next}`, {
      cause,
      details: { loaded: kept, total },
    });
  }

  async #receive(): Promise<void> {
    const { file, options } = this;
    const stall = new AbortController();
    const timer = setTimeout(
      () => stall.abort(new Error('no data came any more')),
      options.stallMs ?? 30_000,
    );
    const signal = AbortSignal.any([stall.signal, ...(options.signal ? [options.signal] : [])]);
    try {
      const response = await this.#request(signal);
      if (response.status === 200) await this.#rewind();
      await this.#noteEtag(response);
      ++this.#sources;
      options.onProgress?.('download', this.#partial.bytes);
      await this.#takeBody(chunksOf(response, signal), () => timer.refresh());
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (cause instanceof KvasirError || cause instanceof Interrupted) throw cause;
      const reason = stall.signal.aborted ? (stall.signal.reason as Error) : (cause as Error);
      throw new Interrupted(reason.cause instanceof Error ? reason.cause.message : reason.message, { cause });
    } finally {
      clearTimeout(timer);
    }
    const { bytes } = this.#partial;
    if (bytes < file.bytes) throw new Interrupted(`it ended after ${bytes} of ${file.bytes} bytes`);
  }

  /** Stops at the first byte too many. */
  async #takeBody(chunks: AsyncIterable<Uint8Array>, alive: () => void): Promise<void> {
    const { file, options } = this;
    let unseen = 0;
    for await (const chunk of chunks) {
      const { length } = chunk;
      this.#received += length;
      if (this.#partial.bytes + length > file.bytes)
        throw new MustRestart(`more than the expected ${file.bytes} bytes came`);
      await this.#partial.append(chunk);
      options.onProgress?.('download', this.#partial.bytes);
      if (this.#received > this.#mostBytes())
        throw new Interrupted(`${this.#received} bytes came for a file of ${file.bytes}`);
      unseen += length;
      if (unseen < leastPace) continue;
      unseen = 0;
      alive();
    }
  }

  /** An answer with the bytes from where the partial file ends, or (200) all of them. */
  async #request(signal: AbortSignal): Promise<Response> {
    const { file } = this;
    const offset = this.#partial.bytes;
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    if (offset > 0 && this.#etag !== '') headers['if-range'] = this.#etag;
    const response = await this.options.endpoint.fetch(file.url, { headers, signal });
    const problem = this.#problemOf(response, offset);
    if (problem === undefined) return response;
    await response.body?.cancel();
    throw problem;
  }

  #problemOf({ status, headers }: Response, offset: number): Error | undefined {
    const { name, bytes } = this.file;
    if (status === 416) return new MustRestart('the server no longer has that part of the file');
    if (status !== 200 && status !== 206) {
      return refusal(status, name) ?? new Interrupted(`the server answered with status ${status}`);
    }
    const encoding = headers.get('content-encoding') ?? 'identity';
    if (encoding !== 'identity') {
      const what = `The server sends ${name} compressed (${encoding.slice(0, 40)}), though it was asked not to`;
      return new KvasirError(
        'DOWNLOAD',
        `${what}: a proxy between may do so. Set HF_ENDPOINT to a hub that sends files as they are.`,
        { details: { reason: 'encoding' } },
      );
    }
    if (status === 206) {
      const from = /^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1];
      const etag = headers.get('etag') ?? '';
      const changed = this.#etag !== '' && etag !== '' && etag !== this.#etag;
      return Number(from) === offset && !changed
        ? undefined
        : new MustRestart('the file changed on the server');
    }
    const length = headers.get('content-length');
    if (length === null || Number(length) === bytes) return undefined;
    return new Interrupted(`the server has ${length.slice(0, 20)} bytes where ${bytes} are listed`);
  }

  /** Weak tags promise nothing about bytes, so only strong ones are kept. */
  async #noteEtag(response: Response): Promise<void> {
    const etag = response.headers.get('etag') ?? '';
    this.#etag = /^"[^"]{0,200}"$/.test(etag) ? etag : '';
    await rm(this.#etagPath, { force: true });
    if (this.#etag === '') return;
    // A new file: a link that stands there by now is not followed. Without it the next run cannot tell a changed file.
    const handle = await open(this.#etagPath, 'wx').catch(() => undefined);
    await handle?.writeFile(this.#etag).catch(() => {});
    await handle?.close();
  }

  /** Of an earlier run. */
  async #recallEtag(): Promise<void> {
    this.#sources = 1;
    const etag = await readShort(this.#etagPath).catch(() => '');
    this.#etag = /^"[^"\r\n]{0,200}"$/.test(etag) ? etag : '';
  }

  async #rewind(): Promise<void> {
    await this.#partial.rewind();
    this.#sources = 0;
    this.#etag = '';
  }

  async #finish(): Promise<void> {
    if (!(await this.#partial.name(this.file.blob)) && !(await this.#isThere())) {
      this.options.signal?.throwIfAborted();
      throw new KvasirError(
        'DOWNLOAD',
        `${this.file.name} is being fetched by somebody else at the same time: run the same command again.`,
      );
    }
    await rm(this.#etagPath, { force: true });
    await syncFolder(dirname(this.file.blob));
  }

  /** Somebody else, who has taken the lock, was faster. */
  async #isThere(): Promise<boolean> {
    const { blob, bytes, hash } = this.file;
    const handle = await open(blob, 'r').catch(() => undefined);
    if (handle === undefined) return false;
    return hasContent(handle, bytes, hash, this.#reading()).finally(() => handle.close());
  }

  async #discard(): Promise<void> {
    await this.#partial.discard();
    await rm(this.#etagPath, { force: true });
  }
}
