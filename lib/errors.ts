/**
 * Every error that Kvasir throws on purpose. `code` is stable; the message says what is wrong and what to do.
 *
 * - MODEL_NOT_FOUND: the reference names nothing that can be read.
 * - MODEL_FORMAT: a file of the model is not what its kind must be.
 * - UNSUPPORTED_ARCHITECTURE: it is sound, but of a kind that is not implemented.
 * - INSUFFICIENT_MEMORY: with both numbers in `details`.
 * - CONTEXT_OVERFLOW: more tokens than the context or the KV cache holds; counts in `details`.
 * - INVALID_OPTION: what a caller gave is unknown, impossible or cannot be read.
 * - DEVICE_UNAVAILABLE: the GPU that was asked for cannot be used.
 * - DISPOSED: the model or the session has been disposed of.
 * - DOWNLOAD: the hub, the network or the cache on the disk stands in the way.
 * - LIMIT_EXCEEDED: a budget of text or template is used up.
 * - ADDON_MISSING: the native addon was not built, or does not fit this system.
 * - BUSY: a queue is full; try again later.
 * - INTERNAL: a fault of Kvasir's own.
 */
export type KvasirErrorCode =
  | 'MODEL_NOT_FOUND'
  | 'MODEL_FORMAT'
  | 'UNSUPPORTED_ARCHITECTURE'
  | 'INSUFFICIENT_MEMORY'
  | 'CONTEXT_OVERFLOW'
  | 'INVALID_OPTION'
  | 'DEVICE_UNAVAILABLE'
  | 'DISPOSED'
  | 'DOWNLOAD'
  | 'LIMIT_EXCEEDED'
  | 'ADDON_MISSING'
  | 'BUSY'
  | 'INTERNAL';

/** Files and callers may name anything at any length. A message keeps its beginning, and its end: what to do. */
const longestMessage = 2000;
const keptEnd = 500;

function bounded(message: unknown): string {
  const text = typeof message === 'string' ? message : `an error of type ${typeof message}`;
  if (text.length <= longestMessage) return text;
  return `${text.slice(0, longestMessage - keptEnd)} ... ${text.slice(-keptEnd)}`;
}

export class KvasirError extends Error {
  readonly code: KvasirErrorCode;
  /** Numbers that belong to the error, such as `required` and `available` bytes. */
  readonly details: Readonly<Record<string, number | string>>;

  constructor(
    code: KvasirErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, number | string> } = {},
  ) {
    super(bounded(message), options?.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KvasirError';
    this.code = code;
    this.details = options?.details ?? {};
  }
}

/** Never throws, whatever was thrown: a revoked proxy cannot even be asked what it is. */
export function isKvasirError(value: unknown): value is KvasirError {
  try {
    return value instanceof KvasirError;
  } catch {
    return false;
  }
}
