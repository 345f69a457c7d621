/** POST /v1/classify: the labels of texts, or the entities in them. */
import * as v from 'valibot';
import type { Answer, Call } from './call.js';
import { callerFields, integer, text, textsField } from './fields.js';
import { inputTexts } from './inputs.js';
import { openAi } from './protocol.js';
import { modelRoute } from './route.js';

const schema = v.strictObject({
  model: v.optional(text),
  input: textsField,
  top_k: v.optional(integer(1, 65_536)),
  ...callerFields,
});

type Body = v.InferOutput<typeof schema>;

export const classifyRoute = modelRoute<Body>({
  method: 'POST',
  path: '/v1/classify',
  protocol: openAi,
  summary: 'Labels of texts with their probabilities, or entities with their places.',
  schema,
  answer,
});

async function answer({ input, top_k: topK }: Body, call: Call): Promise<Answer> {
  const found = await call.model.classify(inputTexts(input, call), {
    ...(topK === undefined ? {} : { topK }),
    signal: call.signal,
  });
  const data = found.map((labels, index) => ({ index, label: labels[0]?.label ?? null, labels }));
  return { json: { id: call.id, object: 'list', created: call.created, model: call.modelId, data } };
}
