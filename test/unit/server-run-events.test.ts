/** What runs bring, as events: at once, whole, and in the order of their coming. */
import { describe, expect, it } from 'vitest';
import { GenerationRun } from '../../lib/engine/run.js';
import { Failure } from '../../lib/server/failure.js';
import { RunEvents, type RunPart } from '../../lib/server/run-events.js';
import { result } from './scripted-call.js';

const never = new AbortController().signal;

describe('events of runs', () => {
  const writer = {
    part: ({ index, chunk, result }: RunPart) =>
      `${index}:${chunk ? (chunk.text ?? '') : `(${result.finishReason})`} `,
    end: (results: readonly unknown[]) => `${results.length} results`,
  };
  const eventsOf = (runs: readonly GenerationRun[], signal = never) => {
    const gathered: unknown[] = [];
    return {
      gathered,
      events: new RunEvents({ runs, writer, signal, onResults: (results) => gathered.push(...results) }),
    };
  };
  const push = (run: GenerationRun, text: string) => run.push(1, [{ type: 'text', text }], undefined);

  it('are told at once, and what nobody read is one event', () => {
    const run = new GenerationRun();
    const { events, gathered } = eventsOf([run]);
    let told = 0;
    events.onNews = () => told++;
    expect(events.read()).toBe('');
    push(run, 'a');
    expect(told).toBe(1);
    expect(events.read()).toBe('0:a ');
    expect(events.read()).toBe('');
    push(run, 'b');
    push(run, 'c');
    run.finish(result, []);
    expect(events.read()).toBe('0:bc 0:(tool_calls) 1 results');
    expect(events.read()).toBeUndefined();
    expect(gathered).toEqual([result]);
  });

  it('of several runs end when all have ended, results in their order', () => {
    const runs = [new GenerationRun(), new GenerationRun()];
    const { events, gathered } = eventsOf(runs);
    push(runs[1]!, 'b');
    runs[1]!.finish({ ...result, text: 'second' }, []);
    expect(events.read()).toBe('1:b 1:(tool_calls) ');
    expect(gathered).toEqual([]);
    push(runs[0]!, 'a');
    runs[0]!.finish({ ...result, text: 'first' }, []);
    expect(events.read()).toBe('0:a 0:(tool_calls) 2 results');
    expect(gathered).toMatchObject([{ text: 'first' }, { text: 'second' }]);
  });

  it('that fail tell first what came before, and the others are left with them', () => {
    const runs = [new GenerationRun(), new GenerationRun()];
    let cancelled = 0;
    runs[1]!.attach({ onDemand: () => {}, onCancel: () => cancelled++ });
    const { events } = eventsOf(runs);
    push(runs[0]!, 'a');
    runs[0]!.fail(new Error('broke'));
    expect(events.read()).toBe('0:a ');
    expect(() => events.read()).toThrow('broke');
    events.leave();
    expect(cancelled).toBe(1);
  });

  it('of a run that failed before anybody read fail too', () => {
    const { events } = eventsOf([GenerationRun.failed(new Error('refused'))]);
    expect(() => events.read()).toThrow('refused');
  });

  it('of a run that the signal has ended fail with its reason', () => {
    const stop = new AbortController();
    const run = new GenerationRun();
    const { events } = eventsOf([run], stop.signal);
    stop.abort(new Failure('timeout', 'too late'));
    run.finish({ ...result, finishReason: 'abort' }, []);
    expect(() => events.read()).toThrow('too late');
  });

  it('are held back by who reads nothing: the run is full', () => {
    const run = new GenerationRun();
    let demands = 0;
    run.attach({ onDemand: () => demands++, onCancel: () => {} });
    const { events } = eventsOf([run]);
    for (let i = 0; i < 1024; i++) push(run, 'x');
    expect(run.full).toBe(true);
    expect(events.read()).toBe(`0:${'x'.repeat(1024)} `);
    expect([run.full, demands]).toEqual([false, 1]);
  });
});
