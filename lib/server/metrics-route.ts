/** GET /metrics */
import { openAi } from './protocol.js';
import type { PlainRoute } from './route.js';

export const metricsRoute: PlainRoute = {
  method: 'GET',
  path: '/metrics',
  protocol: openAi,
  summary: 'Figures for Prometheus.',
  content: 'text/plain',
  respond: async (_exchange, state) => {
    const { type, text } = await state.metrics();
    return new Response(text, { headers: { 'content-type': type } });
  },
};
