/** GET /openapi.json: the routes as OpenAPI 3.1 has them, their bodies from the schemas that check them. */
import { toJsonSchema } from '@valibot/to-json-schema';
import { packageVersion } from '../version.js';
import { anthropic, openAi } from './protocol.js';
import type { ModelRoute, PlainRoute, Route } from './route.js';

type Json = Record<string, unknown>;

/** What may be wrong with any request, and with one that needs a model. */
const faults: Readonly<Record<string, string>> = {
  400: 'The request is wrong; the message names the field.',
  401: 'No key, or one that is not known.',
  403: 'Asked by a page of an origin that may not.',
  404: 'No such model.',
  413: 'The body is too large.',
  429: 'Too many requests wait already; Retry-After says when to come again.',
  500: 'A fault of the server.',
  503: 'The model or the server cannot answer now.',
  504: 'The answer took too long.',
};
const plainFaults = ['401', '403', '404'];

const nullableText = { type: ['string', 'null'] };
const errorSchemas = {
  OpenAiError: {
    type: 'object',
    required: ['error'],
    properties: {
      error: {
        type: 'object',
        required: ['message', 'type', 'param', 'code'],
        properties: {
          message: { type: 'string' },
          type: { type: 'string' },
          param: nullableText,
          code: nullableText,
        },
      },
    },
  },
  AnthropicError: {
    type: 'object',
    required: ['type', 'error', 'request_id'],
    properties: {
      type: { const: 'error' },
      error: {
        type: 'object',
        required: ['type', 'message'],
        properties: { type: { type: 'string' }, message: { type: 'string' } },
      },
      request_id: { type: 'string' },
    },
  },
};

/** '/v1/models/:id{.+}' as '/v1/models/{id}'. */
const pathOf = (path: string): string => path.replace(/:(\w+)(\{[^}]*\})?/g, '{$1}');

function operationOf(route: Route): Json {
  const { method, path, summary, protocol } = route;
  const operationId = `${method.toLowerCase()}${path.replace(/\W+(\w|$)/g, (_, letter: string) => letter.toUpperCase())}`;
  const isOpen = 'respond' in route && route.open === true;
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
  return {
    operationId,
    summary,
    tags: [protocol === anthropic ? 'Anthropic' : 'OpenAI'],
    ...(isOpen ? { security: [] } : {}),
    ...(names.length > 0 && {
      parameters: names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
    }),
    ...('respond' in route ? {} : { requestBody: bodyOf(route) }),
    responses: responsesOf(route),
  };
}

/** null counts as absent, which JSON Schema cannot say of every field: the schema is that of what is not null. */
function bodyOf({ schema }: ModelRoute): Json {
  const { $schema: _, ...json } = toJsonSchema(schema as never, {
    target: 'draft-2020-12',
    errorMode: 'ignore',
  }) as Json;
  return { required: true, content: { 'application/json': { schema: json } } };
}

function responsesOf(route: Route): Json {
  const error = route.protocol === anthropic ? 'AnthropicError' : 'OpenAiError';
  const known = Object.entries(faults).filter(
    ([status]) => !('respond' in route) || plainFaults.includes(status),
  );
  const failed = known.map(([status, description]) => {
    const schema = { $ref: `#/components/schemas/${error}` };
    return [status, { description, content: { 'application/json': { schema } } }];
  });
  return { 200: { description: 'The answer.', content: contentOf(route) }, ...Object.fromEntries(failed) };
}

function contentOf(route: Route): Json {
  const json = { 'application/json': { schema: { type: 'object' } } };
  if ('respond' in route) return route.content === undefined ? json : { [route.content]: {} };
  const streams = JSON.stringify(bodyOf(route)).includes('"stream"');
  return streams ? { ...json, 'text/event-stream': { schema: { type: 'string' } } } : json;
}

function descriptionOf(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = pathOf(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Kvasir',
      version: packageVersion(),
      description:
        'Language models behind the protocols of OpenAI and Anthropic. A field with null counts as absent.',
    },
    servers: [{ url: '/' }],
    // Either of both, or none where the server asks for no key.
    security: [{ bearer: [] }, { apiKey: [] }, {}],
    paths,
    components: {
      schemas: errorSchemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
    },
  };
}

/** @param others the routes besides this one */
export function openApiRoute(others: readonly Route[]): PlainRoute {
  let text: string | undefined;
  const route: PlainRoute = {
    method: 'GET',
    path: '/openapi.json',
    protocol: openAi,
    summary: 'This description. Needs no key.',
    open: true,
    respond: () => {
      text ??= JSON.stringify(descriptionOf([...others, route]));
      return new Response(text, { headers: { 'content-type': 'application/json' } });
    },
  };
  return route;
}
