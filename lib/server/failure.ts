/**
 * Why a request gets no answer, before it is put into a protocol's own shape. Messages of faults that are the server's own
 * name no path and no cause: those go to the log.
 */
import { isKvasirError, type KvasirError } from '../errors.js';

/**
 * - `invalid`: the request is wrong. `authentication`: no known key. `forbidden`: not from this origin.
 * - `not-found`: no such route or model. `method`: the route takes another one. `too-large`: the body.
 * - `busy`: the queue, or the key's share of it, is full. `timeout`: the deadline has passed.
 * - `unavailable`: the model or the server cannot answer now. `internal`: a fault of our own.
 * - `gone`: the client left; nobody reads this one.
 */
export type FailureKind =
  | 'invalid'
  | 'authentication'
  | 'forbidden'
  | 'not-found'
  | 'method'
  | 'too-large'
  | 'busy'
  | 'timeout'
  | 'unavailable'
  | 'internal'
  | 'gone';

const statusOf: Readonly<Record<FailureKind, number>> = {
  invalid: 400,
  authentication: 401,
  forbidden: 403,
  'not-found': 404,
  method: 405,
  'too-large': 413,
  busy: 429,
  timeout: 504,
  unavailable: 503,
  internal: 500,
  gone: 499,
};

export interface FailureDetails {
  /** The field of the request that is wrong: 'messages[0].content'. */
  param?: string;
  /** Stable, for programs: 'context_length_exceeded'. */
  code?: string;
  /** Seconds after which the client may try again. */
  retryAfter?: number;
  cause?: unknown;
}

export class Failure extends Error {
  readonly kind: FailureKind;
  readonly param: string | undefined;
  readonly code: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(kind: FailureKind, message: string, { param, code, retryAfter, cause }: FailureDetails = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.kind = kind;
    this.param = param;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  get status(): number {
    return statusOf[this.kind];
  }
}

/** A field of the request that is wrong, or that asks for what is not there. */
export function invalid(message: string, param?: string, code?: string): Failure {
  return new Failure('invalid', message, { param, code });
}

/** Names of options as requests spell them, where that is not snake case of ours. */
const fieldOf: Readonly<Record<string, string>> = {
  texts: 'input',
  text: 'input',
  logprobs: 'top_logprobs',
  answerPrefix: 'messages',
};

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function ofKvasir(error: KvasirError): Failure {
  const { code, message, details } = error;
  switch (code) {
    case 'INVALID_OPTION': {
      const option = typeof details.option === 'string' ? details.option : undefined;
      const param = option && (fieldOf[option.replace(/\[.*/, '')] ?? snakeCase(option));
      return new Failure('invalid', message, { param, cause: error });
    }
    case 'CONTEXT_OVERFLOW':
      return new Failure('invalid', message, { code: 'context_length_exceeded', cause: error });
    case 'LIMIT_EXCEEDED':
      return new Failure('invalid', message, { code: 'limit_exceeded', cause: error });
    case 'UNSUPPORTED_ARCHITECTURE':
      return new Failure('invalid', message, { code: 'unsupported_by_model', cause: error });
    case 'BUSY':
      return new Failure('busy', message, { code: 'server_busy', retryAfter: 1, cause: error });
    case 'DISPOSED':
      return new Failure('unavailable', 'The model was unloaded: try again.', {
        retryAfter: 1,
        cause: error,
      });
    default:
      return new Failure('internal', 'The server met a fault of its own.', { cause: error });
  }
}

/** What was thrown while a request was answered. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  if (isKvasirError(thrown)) return ofKvasir(thrown);
  return new Failure('internal', 'The server met a fault of its own.', { cause: thrown });
}
