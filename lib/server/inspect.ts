/**
 * GET /inspect, POST /v1/inspect and /v1/inspect/rows, where the handler is asked for them: the live page, the trace that it
 * shows, and the tensors of one token that it does not hold. Nothing is kept between requests: a trace is computed anew.
 */
import * as v from 'valibot';
import { tracedOf } from '../model.js';
import { livePage, positionContent } from '../trace-page/live-page.js';
import { factsOf, titleOf } from '../trace-page/page.js';
import { pageContent, pageTraceOptions } from '../trace-page/trace-page.js';
import type { Answer, Call } from './call.js';
import { invalid } from './failure.js';
import { integer, text } from './fields.js';
import { openAi } from './protocol.js';
import { modelRoute, type PlainRoute, type Route } from './route.js';

const position = integer(0, 2 ** 24);
const pageSchema = v.strictObject({
  model: v.optional(text),
  prompt: text,
  generate: v.optional(integer(0, 2 ** 20)),
  positions: v.optional(v.pipe(v.array(position), v.minLength(1), v.maxLength(64))),
});
const rowsSchema = v.strictObject({
  model: v.optional(text),
  tokens: v.pipe(v.array(integer(0, 2 ** 31 - 1)), v.minLength(1)),
  position,
  kind: v.picklist(['f32', 'f24']),
});

type PageBody = v.InferOutput<typeof pageSchema>;
type RowsBody = v.InferOutput<typeof rowsSchema>;

/** Throws a Failure. */
function checkTokens(count: number, { limits }: Call, param: string): void {
  if (count <= limits.inspectTokens) return;
  const message = `There would be ${count} tokens to look into; at most ${limits.inspectTokens} may be.`;
  throw invalid(message, param, 'context_length_exceeded');
}

/** By the name by which it is served. */
const of = ({ model, modelId }: Call) => ({
  info: { ...model.info, name: modelId },
  traced: tracedOf(model),
});

async function page({ prompt, generate = 0, positions }: PageBody, call: Call): Promise<Answer> {
  const { model, signal } = call;
  const ids = await model.tokenizer.encodeAsync(prompt, { signal });
  checkTokens(ids.length + generate, call, 'prompt');
  const inside = of(call);
  const trace = await model.trace(ids, { ...pageTraceOptions(inside.traced), generate, signal });
  const { data, values } = await pageContent(inside, trace, positions);
  return { json: { title: titleOf(data), facts: factsOf(data), data, values } };
}

async function rows({ tokens, position: at, kind }: RowsBody, call: Call): Promise<Answer> {
  const { model, signal } = call;
  checkTokens(tokens.length, call, 'tokens');
  if (at >= tokens.length) throw invalid(`There are ${tokens.length} tokens.`, 'position');
  const inside = of(call);
  const wanted = {
    ...pageTraceOptions(inside.traced),
    lens: 0,
    timeline: false,
    tokens: [at, at + 1] as const,
  };
  const trace = await model.trace(Int32Array.from(tokens), { ...wanted, signal });
  return { json: await positionContent(inside, trace, kind) };
}

let made: ReturnType<typeof livePage> | undefined;

const livePageRoute: PlainRoute = {
  method: 'GET',
  path: '/inspect',
  protocol: openAi,
  summary: 'A page to look into a served model. Needs no key; what it asks for does.',
  open: true,
  respond: () => {
    made ??= livePage();
    const headers = {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': made.policy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-cache',
    };
    return new Response(made.html, { headers });
  },
};

export const inspectRoutes: readonly Route[] = [
  livePageRoute,
  modelRoute<PageBody>({
    method: 'POST',
    path: '/v1/inspect',
    protocol: openAi,
    summary: 'What a model makes of a text, as the page shows it.',
    schema: pageSchema,
    answer: page,
  }),
  modelRoute<RowsBody>({
    method: 'POST',
    path: '/v1/inspect/rows',
    protocol: openAi,
    summary: 'The tensors of one token of a text.',
    schema: rowsSchema,
    answer: rows,
  }),
];
