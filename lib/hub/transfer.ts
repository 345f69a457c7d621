/**
 * Brings one file over the network into the cache: streams it into `<blob>.incomplete`, hashing as it goes, resumes
 * after a cut, checks size and hash, and only then gives it its name. Nothing unfinished is ever seen under that name.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KvasirError } from '../errors.js';
import { fileSize } from './cache.js';
import { prepareFolder, writeError } from './disk.js';
import { type Endpoint, refusal } from './endpoint.js';

export interface RemoteFile {
  /** For messages and progress. */
  name: string;
  url: string;
  bytes: number;
  /** What the content must hash to: sha256 of the bytes (LFS), or sha1 as git hashes a blob. */
  hash: { kind: 'sha256' | 'git-sha1'; hex: string };
  /** Where it shall lie. */
  blob: string;
}

export interface TransferOptions {
  endpoint: Endpoint;
  signal?: AbortSignal;
  onProgress?: (phase: 'download' | 'verify', loaded: number) => void;
  /** Pauses before the tries after the first, in ms; a try that brought new bytes starts the list again. */
  retryDelays?: readonly number[];
  /** A connection that brings nothing for so long counts as cut. Default 30,000 ms. */
  stallMs?: number;
}

export const defaultRetryDelays: readonly number[] = [500, 1000, 2000, 4000];

/** A try that failed in a way that another may not. */
class Interrupted extends Error {}
/** What lies in the partial file cannot be part of the file. */
class MustRestart extends Error {}

interface PartialFile {
  handle: FileHandle;
  hash: Hash;
  bytes: number;
}

function newHash(file: RemoteFile): Hash {
  if (file.hash.kind === 'sha256') return createHash('sha256');
  return createHash('sha1').update(`blob ${file.bytes}\0`);
}

export class Transfer {
  readonly #partialPath: string;
  /** ETag of the answer that the partial file came from. */
  readonly #etagPath: string;

  constructor(
    readonly file: RemoteFile,
    readonly options: TransferOptions,
  ) {
    this.#partialPath = `${file.blob}.incomplete`;
    this.#etagPath = `${file.blob}.etag`;
  }

  /** Returns the bytes that came over the network. Throws DOWNLOAD, MODEL_NOT_FOUND or the signal's reason. */
  async run(): Promise<number> {
    const started = (await fileSize(this.#partialPath)) ?? 0;
    await prepareFolder(dirname(this.file.blob), Math.max(0, this.file.bytes - started));
    let received = 0;
    const count = (bytes: number): void => {
      received += bytes;
    };
    // A partial file from an earlier run may be damaged: then, and only then, a wrong hash is worth a second try.
    const verdict = await this.#attempts(count);
    if (verdict === 'wrong hash' && started > 0) {
      if ((await this.#attempts(count)) === 'complete') return received;
    } else if (verdict === 'complete') return received;
    throw new KvasirError(
      'DOWNLOAD',
      `${this.file.name} arrived damaged: its ${this.file.hash.kind} is not ${this.file.hash.hex}. ` +
        'It has been deleted; try again, and if it happens again the source or the network between is to blame.',
      { details: { reason: 'hash' } },
    );
  }

  /** Tries until the file is whole; a wrong hash deletes it. */
  async #attempts(count: (bytes: number) => void): Promise<'complete' | 'wrong hash'> {
    const delays = this.options.retryDelays ?? defaultRetryDelays;
    for (let failures = 0; ; ) {
      let progressed = 0;
      try {
        return await this.#attempt((bytes) => {
          progressed += bytes;
          count(bytes);
        });
      } catch (cause) {
        this.options.signal?.throwIfAborted();
        if (cause instanceof MustRestart) await this.#discard();
        else if (!(cause instanceof Interrupted)) throw cause;
        failures = progressed > 0 ? 1 : failures + 1;
        if (failures > delays.length) throw await this.#givingUp(cause as Error);
        await sleep(delays[failures - 1], undefined, { signal: this.options.signal }).catch(() => {});
        this.options.signal?.throwIfAborted();
      }
    }
  }

  async #givingUp(cause: Error): Promise<KvasirError> {
    const kept = (await fileSize(this.#partialPath)) ?? 0;
    return new KvasirError(
      'DOWNLOAD',
      `The download of ${this.file.name} was cut off: ${cause.message}. ${kept} of ${this.file.bytes} bytes are kept; ` +
        'run the same command again to go on from there.',
      { cause, details: { loaded: kept, total: this.file.bytes } },
    );
  }

  async #attempt(count: (bytes: number) => void): Promise<'complete' | 'wrong hash'> {
    const partial = await this.#openPartial();
    let verdict: 'complete' | 'wrong hash' = 'wrong hash';
    try {
      if (partial.bytes < this.file.bytes) await this.#receive(partial, count);
      if (partial.bytes === this.file.bytes && partial.hash.digest('hex') === this.file.hash.hex) {
        await partial.handle.sync();
        verdict = 'complete';
      }
    } finally {
      await partial.handle.close();
    }
    if (verdict === 'complete') await this.#finish();
    else await this.#discard();
    return verdict;
  }

  /** Opens what is there already and hashes it. */
  async #openPartial(): Promise<PartialFile> {
    const { file } = this;
    const hash = newHash(file);
    let bytes = (await fileSize(this.#partialPath)) ?? 0;
    if (bytes > file.bytes) {
      await this.#discard();
      bytes = 0;
    }
    if (bytes > 0) {
      let hashed = 0;
      for await (const chunk of createReadStream(this.#partialPath, {
        highWaterMark: 1 << 20,
        signal: this.options.signal,
      })) {
        hash.update(chunk as Buffer);
        hashed += (chunk as Buffer).length;
        this.options.onProgress?.('verify', hashed);
      }
      bytes = hashed;
    }
    try {
      return { handle: await open(this.#partialPath, bytes > 0 ? 'r+' : 'w'), hash, bytes };
    } catch (cause) {
      throw await writeError(cause, dirname(file.blob), file.bytes - bytes);
    }
  }

  async #receive(partial: PartialFile, count: (bytes: number) => void): Promise<void> {
    const { file, options } = this;
    const stall = new AbortController();
    const timer = setTimeout(
      () => stall.abort(new Error('no data came any more')),
      options.stallMs ?? 30_000,
    );
    const signals = [stall.signal, ...(options.signal ? [options.signal] : [])];
    try {
      const response = await this.#request(partial.bytes, AbortSignal.any(signals));
      if (response.status === 200 && partial.bytes > 0) await this.#rewind(partial);
      await this.#noteEtag(response);
      options.onProgress?.('download', partial.bytes);
      for await (const chunk of response.body ?? []) {
        timer.refresh();
        await this.#write(partial, chunk as Uint8Array);
        count(chunk.length);
        options.onProgress?.('download', partial.bytes);
      }
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (cause instanceof KvasirError || cause instanceof MustRestart || cause instanceof Interrupted)
        throw cause;
      const reason = stall.signal.aborted ? (stall.signal.reason as Error) : (cause as Error);
      throw new Interrupted(reason.cause instanceof Error ? reason.cause.message : reason.message, { cause });
    } finally {
      clearTimeout(timer);
    }
    if (partial.bytes < file.bytes)
      throw new Interrupted(`it ended after ${partial.bytes} of ${file.bytes} bytes`);
    if (partial.bytes > file.bytes) throw new MustRestart(`more than the expected ${file.bytes} bytes came`);
  }

  /** An answer with the bytes from `offset` on, or (200) all of them. */
  async #request(offset: number, signal: AbortSignal): Promise<Response> {
    const etag = offset > 0 ? await readFile(this.#etagPath, 'utf8').catch(() => '') : '';
    const headers: Record<string, string> = { 'accept-encoding': 'identity' };
    if (offset > 0) headers.range = `bytes=${offset}-`;
    if (etag !== '') headers['if-range'] = etag;
    const response = await this.options.endpoint.fetch(this.file.url, { headers, signal });
    const { status } = response;
    if (status === 200) return response;
    if (status === 206) {
      const from = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
      const changed =
        etag !== '' && response.headers.get('etag') !== null && response.headers.get('etag') !== etag;
      if (Number(from) === offset && !changed) return response;
    }
    await response.body?.cancel();
    if (status === 206) throw new MustRestart('the file changed on the server');
    if (status === 416) throw new MustRestart('the server no longer has that part of the file');
    const refused = refusal(status, this.file.name);
    if (refused) throw refused;
    throw new Interrupted(`the server answered with status ${status}`);
  }

  /** Weak tags promise nothing about bytes, so only strong ones are kept. */
  async #noteEtag(response: Response): Promise<void> {
    const etag = response.headers.get('etag') ?? '';
    if (/^"[^"]*"$/.test(etag)) await writeFile(this.#etagPath, etag).catch(() => {});
    else await rm(this.#etagPath, { force: true });
  }

  /** The server sends the whole file: start over. */
  async #rewind(partial: PartialFile): Promise<void> {
    await partial.handle.truncate(0);
    partial.bytes = 0;
    partial.hash = newHash(this.file);
  }

  async #write(partial: PartialFile, chunk: Uint8Array): Promise<void> {
    try {
      // Short writes are possible when the disk fills: go on until the chunk is out or an error says why not.
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await partial.handle.write(
          chunk,
          done,
          chunk.length - done,
          partial.bytes + done,
        );
        done += bytesWritten;
      }
    } catch (cause) {
      throw await writeError(cause, dirname(this.file.blob), this.file.bytes - partial.bytes);
    }
    partial.hash.update(chunk);
    partial.bytes += chunk.length;
  }

  async #finish(): Promise<void> {
    await rename(this.#partialPath, this.file.blob);
    await rm(this.#etagPath, { force: true });
    await syncFolder(dirname(this.file.blob));
  }

  async #discard(): Promise<void> {
    await rm(this.#partialPath, { force: true });
    await rm(this.#etagPath, { force: true });
  }
}

/** Makes a rename last through a power cut, where the system can do that. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  } catch {
    // Not every system can sync a folder; the file itself is synced.
  }
}
