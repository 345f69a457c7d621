/**
 * What a repository of the hub holds. The requests are the hub package's; how much may come in answer, and that it is
 * a list of files, is seen to here.
 */
import { KvasirError } from '../errors.js';
import { chunksOf, type Endpoint, refusal, unreachable } from './endpoint.js';

export interface Listed {
  name: string;
  bytes: number;
  /** Name of the blob: the sha256 of an LFS file, else git's own hash. */
  oid: string;
  kind: 'sha256' | 'git-sha1';
}

export interface Listing {
  revision: string;
  files: Map<string, Listed>;
}

const timeoutMs = 20_000;
/** The hub's own pages have 1,000 files and less than 1 MB. */
const pageBytes = 8 << 20;
const mostBytes = 64 << 20;
const mostPages = 200;
const mostFiles = 100_000;

/** Of a hub that answers more, or something else. */
class NoListing extends Error {}

/** `fetch` for the hub package, bounded over all its requests. */
class BoundedFetch {
  #bytes = 0;
  #pages = 0;
  /** The hub has answered: it is there. */
  answered = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly signal: AbortSignal,
  ) {}

  async fetch(url: string, init?: RequestInit): Promise<Response> {
    if (++this.#pages > mostPages) throw new NoListing(`its listing has more than ${mostPages} pages`);
    const response = await this.endpoint.fetch(url, { ...init, signal: this.signal });
    this.answered = true;
    const { status, statusText, headers } = response;
    return new Response(await this.#body(response), { status, statusText, headers });
  }

  /** null where a status has none. */
  async #body(response: Response): Promise<Uint8Array | null> {
    if (response.body === null) return null;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of chunksOf(response, this.signal)) {
      bytes += chunk.length;
      this.#bytes += chunk.length;
      if (bytes > pageBytes || this.#bytes > mostBytes) throw new NoListing('its listing does not end');
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }
}

function listedFile(entry: unknown): Listed | undefined {
  const { type, path, size, oid, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (type !== 'file') return undefined;
  const hash = (lfs as { oid?: unknown } | undefined | null)?.oid ?? oid;
  if (
    typeof path !== 'string' ||
    path.length > 1000 ||
    typeof hash !== 'string' ||
    typeof size !== 'number'
  ) {
    throw new NoListing('it lists a file without name, size or hash');
  }
  return { name: path, bytes: size, oid: hash, kind: lfs ? 'sha256' : 'git-sha1' };
}

/** The newest revision and its files. Throws DOWNLOAD, MODEL_NOT_FOUND or the signal's reason. */
export async function listRepository(
  endpoint: Endpoint,
  repository: string,
  given: AbortSignal | undefined,
): Promise<Listing> {
  const { listFiles, modelInfo } = await import('@huggingface/hub');
  const limit = AbortSignal.timeout(timeoutMs);
  const bounded = new BoundedFetch(endpoint, given ? AbortSignal.any([limit, given]) : limit);
  const access = { hubUrl: endpoint.url, fetch: bounded.fetch.bind(bounded) as typeof fetch };
  try {
    const { sha: revision } = await modelInfo({
      ...access,
      name: repository,
      revision: 'main',
      additionalFields: ['sha'],
    });
    if (typeof revision !== 'string' || !/^(?=.*\w)[\w.-]{1,100}$/.test(revision))
      throw new NoListing('it names no revision');
    const files = new Map<string, Listed>();
    for await (const entry of listFiles({ ...access, repo: repository, revision, recursive: true })) {
      const file = listedFile(entry);
      if (file) files.set(file.name, file);
      if (files.size > mostFiles) throw new NoListing(`it lists more than ${mostFiles} files`);
    }
    return { revision, files };
  } catch (cause) {
    given?.throwIfAborted();
    if (cause instanceof KvasirError) throw cause;
    const status = (cause as { statusCode?: number }).statusCode;
    const refused = status === undefined ? undefined : refusal(status, repository);
    throw (
      refused ?? (bounded.answered ? noListing(endpoint, cause, status) : unreachable(endpoint.url, cause))
    );
  }
}

function noListing({ url }: Endpoint, cause: unknown, status: number | undefined): KvasirError {
  if (!(cause instanceof NoListing) && (status !== undefined || isTimeout(cause)))
    return unreachable(url, cause);
  const why = cause instanceof NoListing ? cause.message : 'its answer is no list of files';
  return new KvasirError('DOWNLOAD', `The hub ${url} does not answer as a hub does: ${why}.`, { cause });
}

function isTimeout(cause: unknown): boolean {
  return cause instanceof Error && (cause.name === 'TimeoutError' || cause.cause !== undefined);
}
