/** GET /v1/models and /health: what is served, and whether it is. Both protocols find their fields. */
import type { Model } from '../../model.js';
import { Failure } from '../failure.js';
import { openAi } from '../protocol.js';
import type { PlainRoute, ServerState } from '../route.js';

interface Served {
  id: string;
  aliases: readonly string[];
  model: Model | undefined;
}

function describe({ id, aliases, model }: Served, since: number) {
  return {
    id,
    object: 'model',
    created: since,
    owned_by: 'kvasir',
    // As Anthropic lists them.
    type: 'model',
    display_name: id,
    created_at: new Date(since * 1000).toISOString(),
    aliases,
    loaded: model !== undefined,
    ...(model && {
      max_model_len: model.info.contextLength,
      architecture: model.info.architecture,
      dtype: model.info.dtype,
      device: model.info.device,
      kernels: model.info.kernels,
      memory: model.info.memory.actual,
    }),
  };
}

export const modelsRoute: PlainRoute = {
  method: 'GET',
  path: '/v1/models',
  protocol: openAi,
  summary: 'The models that are served.',
  respond: (_exchange, { pool, since }) => {
    const data = pool.list().map((served) => describe(served, since));
    return Response.json({
      object: 'list',
      data,
      has_more: false,
      first_id: data.at(0)?.id ?? null,
      last_id: data.at(-1)?.id ?? null,
    });
  },
};

export const modelRouteById: PlainRoute = {
  method: 'GET',
  path: '/v1/models/:id{.+}',
  protocol: openAi,
  summary: 'One of them.',
  respond: (_exchange, { pool, since }, id) => Response.json(describe(find(pool, id ?? ''), since)),
};

/** Throws a Failure. */
function find(pool: ServerState['pool'], name: string): Served {
  const id = pool.idOf(name);
  const found = pool.list().find((served) => served.id === id);
  if (found === undefined) throw new Failure('not-found', 'The model is not served here.');
  return found;
}

export const healthRoute: PlainRoute = {
  method: 'GET',
  path: '/health',
  protocol: openAi,
  summary: 'Whether requests are taken: 200, or 503 while the server shuts down. Needs no key.',
  open: true,
  respond: (_exchange, { closing, running, waiting }) =>
    Response.json({ status: closing ? 'closing' : 'ok', running, waiting }, { status: closing ? 503 : 200 }),
};
