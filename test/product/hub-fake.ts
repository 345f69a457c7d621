/** A hub on loopback, as far as pulling needs one: model info, file tree, files with Range and ETag. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeFile {
  content: Buffer;
  /** Listed as LFS (sha256), else as a plain git blob. */
  lfs?: boolean;
  etag?: string;
  /** What the listing says, where it lies. */
  listedOid?: string;
  listedBytes?: number;
}

export interface FileRequest {
  name: string;
  /** Requests for this file so far, this one included. */
  attempt: number;
  request: IncomingMessage;
  response: ServerResponse;
  file: FakeFile;
  /** Answers as a good server does. */
  serve: () => void;
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

export function gitSha1(content: Buffer): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}

/** Sends `bytes` from the offset that the request asks for, then cuts the connection. */
export function cutAfter({ request, response, file }: FileRequest, bytes: number): void {
  const offset = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const headers: Record<string, string | number> = {
    'content-length': file.content.length - offset,
    etag: file.etag ?? `"${sha256(file.content)}"`,
  };
  if (offset > 0)
    headers['content-range'] = `bytes ${offset}-${file.content.length - 1}/${file.content.length}`;
  response.writeHead(offset > 0 ? 206 : 200, headers);
  // Only what has been flushed counts as sent: cut when the bytes have left.
  response.write(file.content.subarray(offset, offset + bytes), () =>
    setTimeout(() => response.destroy(), 50),
  );
}

/** Sends all of it from the beginning, whatever range is asked for, and takes its time. */
export async function trickle({ response, file }: FileRequest, pauseMs = 20): Promise<void> {
  const { content } = file;
  response.writeHead(200, { 'content-length': content.length });
  for (let at = 0; at < content.length && !response.destroyed; at += 20_000) {
    response.write(content.subarray(at, at + 20_000));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  response.end();
}

/** Sends without end; counts what the other side took. */
export function flood(
  { response }: FileRequest,
  taken: { bytes: number },
  chunk = Buffer.alloc(65_536, 7),
): void {
  response.writeHead(200);
  const more = (): void => {
    if (response.destroyed) return;
    response.write(chunk, (error) => {
      if (error) return;
      taken.bytes += chunk.length;
      setImmediate(more);
    });
  };
  more();
}

export class FakeHub {
  readonly files = new Map<string, FakeFile>();
  readonly requests: {
    path: string;
    range?: string;
    ifRange?: string;
    authorization?: string;
    host?: string;
  }[] = [];
  readonly revision = 'a'.repeat(40);
  /** Answers requests for files instead of the good server. */
  onFile: (request: FileRequest) => void = ({ serve }) => serve();
  /** Status of the API, when it is not to answer well. */
  apiStatus = 200;
  /** Answers requests for the listing instead of the good server. */
  onListing: ((response: ServerResponse, request: IncomingMessage) => void) | undefined;
  readonly #attempts = new Map<string, number>();
  readonly #server = createServer((request, response) => this.#answer(request, response));

  constructor(readonly repository = 'org/name') {}

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  fileRequests(name: string): FakeHub['requests'] {
    return this.requests.filter(({ path }) => path.endsWith(`/${name}`) && !path.startsWith('/api/'));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url!, this.url).pathname);
    const { range, authorization, host } = request.headers;
    this.requests.push({
      path,
      range,
      authorization,
      host,
      ifRange: request.headers['if-range'] as string | undefined,
    });
    if (path.startsWith('/api/')) this.#answerApi(path, request, response);
    else this.#answerFile(path, request, response);
  }

  #answerApi(path: string, request: IncomingMessage, response: ServerResponse): void {
    const base = `/api/models/${this.repository}`;
    const json = (status: number, value: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (this.apiStatus !== 200) {
      json(this.apiStatus, { error: 'refused by the fake hub' });
    } else if (path === `${base}/revision/main`) {
      json(200, { _id: '1', id: this.repository, sha: this.revision, private: false, gated: false });
    } else if (path === `${base}/tree/${this.revision}`) {
      if (this.onListing) this.onListing(response, request);
      else json(200, this.#listing());
    } else {
      json(404, { error: 'Repository not found' });
    }
  }

  #listing(): object[] {
    return [...this.files].map(([name, { content, lfs, listedOid, listedBytes }]) => ({
      type: 'file',
      path: name,
      size: listedBytes ?? content.length,
      oid: lfs ? 'f'.repeat(40) : (listedOid ?? gitSha1(content)),
      ...(lfs
        ? {
            lfs: { oid: listedOid ?? sha256(content), size: listedBytes ?? content.length, pointerSize: 134 },
          }
        : {}),
    }));
  }

  #answerFile(path: string, request: IncomingMessage, response: ServerResponse): void {
    const name = path
      .replace(`/${this.repository}/resolve/${this.revision}/`, '')
      .replace(/^\/elsewhere\//, '');
    const file = this.files.get(name);
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    const attempt = (this.#attempts.get(name) ?? 0) + 1;
    this.#attempts.set(name, attempt);
    const serve = (): void => this.#serve(file, request, response);
    if (path.startsWith('/elsewhere/')) serve();
    else this.onFile({ name, attempt, request, response, file, serve });
  }

  #serve(file: FakeFile, request: IncomingMessage, response: ServerResponse): void {
    const { content } = file;
    const etag = file.etag ?? `"${sha256(content)}"`;
    const condition = request.headers['if-range'];
    const offset = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (offset === 0 || (condition !== undefined && condition !== etag)) {
      response.writeHead(200, { etag, 'content-length': content.length }).end(content);
    } else if (offset >= content.length) {
      response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end();
    } else {
      const range = `bytes ${offset}-${content.length - 1}/${content.length}`;
      response.writeHead(206, { etag, 'content-range': range, 'content-length': content.length - offset });
      response.end(content.subarray(offset));
    }
  }
}
