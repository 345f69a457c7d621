/** Every route of the server, with a description of all of them. */
import { countTokensRoute } from './anthropic/count-tokens.js';
import { messageRoute } from './anthropic/message.js';
import { chatRoute } from './openai/chat.js';
import { completionsRoute } from './openai/completions.js';
import { embeddingsRoute } from './openai/embeddings.js';
import { healthRoute, modelRouteById, modelsRoute } from './openai/models.js';
import { applyTemplateRoute, detokenizeRoute, tokenizeRoute } from './openai/text-routes.js';
import { classifyRoute } from './classify.js';
import { metricsRoute } from './metrics-route.js';
import { openApiRoute } from './openapi.js';
import { rerankRoute } from './rerank.js';
import { responsesRoute } from './responses/response.js';
import type { Route } from './route.js';

const described: readonly Route[] = [
  modelsRoute,
  modelRouteById,
  healthRoute,
  chatRoute,
  completionsRoute,
  embeddingsRoute,
  rerankRoute,
  classifyRoute,
  responsesRoute,
  messageRoute,
  countTokensRoute,
  tokenizeRoute,
  detokenizeRoute,
  applyTemplateRoute,
  metricsRoute,
];

export const routes: readonly Route[] = [...described, openApiRoute(described)];
