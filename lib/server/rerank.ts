/** POST /v1/rerank, as Cohere and Jina have it: documents by how well they answer a query. */
import * as v from 'valibot';
import type { Answer, Call } from './call.js';
import { bool, callerFields, count, text } from './fields.js';
import { checkInputs } from './inputs.js';
import { openAi } from './protocol.js';
import { modelRoute } from './route.js';

const schema = v.strictObject({
  model: v.optional(text),
  query: text,
  documents: v.pipe(v.array(v.union([text, v.strictObject({ text })])), v.minLength(1)),
  top_n: v.optional(count),
  return_documents: v.optional(bool),
  ...callerFields,
});

type Body = v.InferOutput<typeof schema>;

export const rerankRoute = modelRoute<Body>({
  method: 'POST',
  path: '/v1/rerank',
  protocol: openAi,
  summary: 'Documents by how well they answer a query, the best first.',
  schema,
  answer,
});

async function answer({ query, documents, top_n, return_documents }: Body, call: Call): Promise<Answer> {
  checkInputs(documents.length, call, 'documents');
  const texts = documents.map((one) => (typeof one === 'string' ? one : one.text));
  const topK = top_n === undefined ? {} : { topK: Math.min(top_n, texts.length) };
  const ranked = await call.model.rerank(query, texts, { ...topK, signal: call.signal });
  const results = ranked.map(({ index, score }) => ({
    index,
    relevance_score: score,
    ...(return_documents ? { document: { text: texts[index] } } : {}),
  }));
  return { json: { id: call.id, model: call.modelId, results } };
}
