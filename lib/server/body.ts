/** The body of a request: bounded, UTF-8, JSON of an object. */
import { Failure, invalid } from './failure.js';
import { orAborted } from './or-aborted.js';

/** Throws a Failure, or the signal's reason. */
export async function readJson(
  request: Request,
  mostBytes: number,
  signal: AbortSignal,
): Promise<Record<string, unknown>> {
  checkType(request.headers);
  const bytes = await readBytes(request, mostBytes, signal);
  const text = decode(bytes);
  if (text.trim() === '') throw invalid('The body is empty: JSON is needed.', undefined, 'invalid_json');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('The body is no JSON.', undefined, 'invalid_json');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw invalid('The body must be a JSON object.', undefined, 'invalid_json');
}

/** A page of another origin can send plain text without asking, but no JSON. */
function checkType(headers: Headers): void {
  const type = headers.get('content-type');
  if (type === null || /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type)) return;
  throw invalid('The body must be JSON: Content-Type: application/json.', undefined, 'invalid_content_type');
}

function tooLarge(mostBytes: number): Failure {
  return new Failure('too-large', `The body is larger than ${mostBytes} bytes.`, { code: 'body_too_large' });
}

async function readBytes(request: Request, mostBytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const declared = request.headers.get('content-length');
  if (declared !== null && Number(declared) > mostBytes) throw tooLarge(mostBytes);
  try {
    // The transport holds the body to its declared length.
    if (declared !== null) return new Uint8Array(await orAborted(request.arrayBuffer(), signal));
    return await orAborted(readCounted(request, mostBytes), signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Failure) throw error;
    throw invalid('The body ended before it was complete.', undefined, 'incomplete_body');
  }
}

async function readCounted({ body }: Request, mostBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body ?? []) {
    size += piece.length;
    // Leaving the loop ends the reading.
    if (size > mostBytes) throw tooLarge(mostBytes);
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid('The body is no UTF-8.', undefined, 'invalid_utf8');
  }
}
