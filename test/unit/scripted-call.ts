/** A call whose runs bring what they are told: the mapping of answers without a model. */
import { GenerationRun, type GenerationResult } from '../../lib/engine/run.js';
import type { GenerateOptions } from '../../lib/options.js';
import type { OutputPiece } from '../../lib/output/pieces.js';
import type { Prompt } from '../../lib/prompt.js';
import type { Answer, Call } from '../../lib/server/call.js';
import type { EventSource } from '../../lib/server/event-source.js';
import type { ModelRoute } from '../../lib/server/route.js';
import { checkBody } from '../../lib/server/validate.js';
import { type Body, eventsOf } from '../model/served.js';

export const call = { id: 'abc123def', name: 'add', arguments: { a: 1 }, argumentsText: '{"a": 1}' };
export const pieces: OutputPiece[] = [
  { type: 'reasoning', text: 'I think' },
  { type: 'reasoning', text: ' hard.' },
  { type: 'text', text: 'I add.' },
  { type: 'tool-call', index: 0, id: call.id, name: call.name, arguments: '' },
  { type: 'tool-call', index: 0, arguments: '{"a"' },
  { type: 'tool-call', index: 0, arguments: ': 1}' },
];
export const result: GenerationResult = {
  text: 'I add.',
  reasoning: 'I think hard.',
  toolCalls: [call],
  tokens: [1, 2, 3, 4, 5, 6],
  finishReason: 'tool_calls',
  usage: { promptTokens: 10, completionTokens: 6, cachedTokens: 4 },
  timings: { ttftMs: 1, prefillTokensPerSecond: 1, decodeTokensPerSecond: 1 },
};

export interface Asked {
  prompt?: Prompt;
  options?: GenerateOptions;
  variables?: Record<string, unknown>;
}

const tokenizer = {
  chatTemplate: 'enable_thinking',
  vocabSize: 1000,
  decode: (ids: number[]) => ids.map((id) => `<${id}>`).join(''),
};

/** A call whose runs bring `told`, a piece a turn. */
export function callOf(asked: Asked, told: readonly OutputPiece[] = pieces, outcome = result): Call {
  return {
    model: { tokenizer, info: {} },
    generate: (prompt: Prompt, options: GenerateOptions, variables?: Record<string, unknown>) => {
      Object.assign(asked, { prompt, options, variables });
      const run = new GenerationRun();
      const write = async () => {
        for (const [i, piece] of told.entries()) {
          run.push(i, [piece], undefined);
          await new Promise((resolve) => setImmediate(resolve));
        }
        run.finish(outcome, []);
      };
      void write();
      return run;
    },
    modelId: 'm',
    id: 'req_1',
    created: 1,
    signal: new AbortController().signal,
    abort: () => {},
    limits: { sequences: 8, maxTokens: 100 },
    facts: {},
  } as unknown as Call;
}

async function ask(route: ModelRoute, body: object, call: Call): Promise<Answer> {
  return route.answer(checkBody(route.schema, body as Record<string, unknown>, false), call);
}

export async function json(route: ModelRoute, body: object, call: Call): Promise<Body> {
  const answer = await ask(route, body, call);
  if (!('json' in answer)) throw new Error('a stream');
  return answer.json;
}

export async function stream(
  route: ModelRoute,
  body: object,
  call: Call,
): Promise<ReturnType<typeof eventsOf>> {
  const answer = await ask(route, { ...body, stream: true }, call);
  if (!('events' in answer)) throw new Error('no stream');
  return eventsOf(await textOf(answer.events));
}

/** All events, read as they come. */
export function textOf(events: EventSource): Promise<string> {
  let text = '';
  return new Promise((resolve, reject) => {
    events.onNews = () => {
      try {
        for (let more = events.read(); more !== ''; more = events.read()) {
          if (more === undefined) return resolve(text);
          text += more;
        }
      } catch (error) {
        reject(error);
      }
    };
    events.onNews();
  });
}
