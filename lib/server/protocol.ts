/** What differs between protocols whatever the route: errors, and events that say nothing. */
import type { Failure, FailureKind } from './failure.js';

export interface Protocol {
  /** A body. */
  error(failure: Failure, requestId: string): unknown;
  /** The event that ends a stream. */
  errorEvent(failure: Failure, requestId: string): string;
  ping: string;
}

/** One server-sent event. JSON has no line ends outside its strings, and none unescaped inside them. */
export const dataEvent = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
export const namedEvent = (name: string, value: unknown): string => `event: ${name}\n${dataEvent(value)}`;

const openAiTypes: Readonly<Record<FailureKind, string>> = {
  invalid: 'invalid_request_error',
  authentication: 'authentication_error',
  forbidden: 'permission_error',
  'not-found': 'invalid_request_error',
  method: 'invalid_request_error',
  'too-large': 'invalid_request_error',
  busy: 'rate_limit_error',
  timeout: 'timeout_error',
  unavailable: 'server_error',
  internal: 'server_error',
  gone: 'server_error',
};

const openAiError = ({ kind, message, param, code }: Failure) => ({
  error: { message, type: openAiTypes[kind], param: param ?? null, code: code ?? null },
});

export const openAi: Protocol = {
  error: openAiError,
  errorEvent: (failure) => dataEvent(openAiError(failure)),
  ping: ': ping\n\n',
};

/** Events of /v1/responses have a type; its errors are those of the others. */
export const openAiResponses: Protocol = {
  ...openAi,
  errorEvent: ({ message, param, code, kind }) =>
    namedEvent('error', {
      type: 'error',
      code: code ?? openAiTypes[kind],
      message,
      param: param ?? null,
      sequence_number: 0,
    }),
};

const anthropicTypes: Readonly<Record<FailureKind, string>> = {
  invalid: 'invalid_request_error',
  authentication: 'authentication_error',
  forbidden: 'permission_error',
  'not-found': 'not_found_error',
  method: 'invalid_request_error',
  'too-large': 'request_too_large',
  busy: 'rate_limit_error',
  timeout: 'timeout_error',
  unavailable: 'overloaded_error',
  internal: 'api_error',
  gone: 'api_error',
};

const anthropicError = ({ kind, message, param }: Failure, requestId: string) => ({
  type: 'error',
  error: { type: anthropicTypes[kind], message: param === undefined ? message : `${param}: ${message}` },
  request_id: requestId,
});

export const anthropic: Protocol = {
  error: anthropicError,
  errorEvent: (failure, requestId) => namedEvent('error', anthropicError(failure, requestId)),
  ping: namedEvent('ping', { type: 'ping' }),
};
