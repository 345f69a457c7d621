/** POST /v1/embeddings */
import * as v from 'valibot';
import type { Answer, Call } from '../call.js';
import { callerFields, integer, text, textsField } from '../fields.js';
import { inputTexts } from '../inputs.js';
import { openAi } from '../protocol.js';
import { modelRoute } from '../route.js';

const schema = v.strictObject({
  model: v.optional(text),
  input: textsField,
  encoding_format: v.optional(v.picklist(['float', 'base64'])),
  dimensions: v.optional(integer(1, 2 ** 20)),
  ...callerFields,
});

type Body = v.InferOutput<typeof schema>;

export const embeddingsRoute = modelRoute<Body>({
  method: 'POST',
  path: '/v1/embeddings',
  protocol: openAi,
  summary: 'One vector a text, as numbers or as base64 of little-endian float32.',
  schema,
  answer,
});

async function answer({ input, dimensions, encoding_format }: Body, call: Call): Promise<Answer> {
  const vectors = await call.model.embed(inputTexts(input, call), { dimensions, signal: call.signal });
  call.facts.promptTokens = vectors.tokens;
  const encode = encoding_format === 'base64' ? base64Of : (vector: Float32Array) => Array.from(vector);
  return {
    json: {
      object: 'list',
      data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) })),
      model: call.modelId,
      usage: { prompt_tokens: vectors.tokens, total_tokens: vectors.tokens },
    },
  };
}

/** Every machine that runs Kvasir is little-endian. */
function base64Of(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');
}
