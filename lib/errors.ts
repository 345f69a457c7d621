/** Every error that Kvasir throws on purpose. `code` is stable; the message says what is wrong and what to do. */
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
  | 'INTERNAL';

export class KvasirError extends Error {
  readonly code: KvasirErrorCode;
  /** Numbers that belong to the error, such as `required` and `available` bytes. */
  readonly details: Readonly<Record<string, number | string>>;

  constructor(
    code: KvasirErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, number | string> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'KvasirError';
    this.code = code;
    this.details = options.details ?? {};
  }
}
