/**
 * Generates, makes the calls that the model wants, and goes on with their results until it wants none. What a tool throws
 * is told to the model; nothing that a tool does ends the loop but an abort.
 */
import type { Generation, GenerationChunk, GenerationResult } from '../engine/run.js';
import {
  callback,
  integer,
  invalidOption,
  parseOptions,
  type Rule,
  reading,
  signal as signalRule,
} from '../given.js';
import type { ToolCall } from '../output/pieces.js';
import type { ChatMessage } from '../tokenizer/chat-messages.js';
import { type FunctionTool, readTools, type ToolChoice, type ToolDefinition } from './definitions.js';
import { assistantMessage, toolMessage } from './messages.js';

export interface ToolContext {
  /** Aborted when the run is, and when the tool's time is over. */
  signal: AbortSignal;
  /** Of the call. */
  id: string;
}

/** A tool that can be run. */
export type RunnableTool = ToolDefinition & {
  /** What it gives is told to the model: a string as it is, undefined as nothing, all else as JSON. */
  execute(args: Record<string, unknown>, context: ToolContext): unknown;
  /** Milliseconds that one call may take. Default: `toolTimeoutMs`. */
  timeoutMs?: number;
};

export interface RunToolsOptions {
  /** Most answers of the model, from 1 to 1000. Default 8: where the last one has calls, they are not made. */
  maxRounds?: number;
  /** Milliseconds that a call may take where its tool says nothing else. Default 60,000. */
  toolTimeoutMs?: number;
  /** Called with each chunk as it comes, and the number of its round from 0. */
  onChunk?(chunk: GenerationChunk, round: number): void;
  /** Aborting ends the answer or the tools that run; the result then has `finishReason: 'abort'`. */
  signal?: AbortSignal;
}

export interface RunToolsResult extends GenerationResult {
  /** The whole conversation: what was given, all answers, calls and results. */
  messages: ChatMessage[];
  /** Answers of the model. */
  rounds: number;
}

/** What generates. */
export type Generate = (messages: readonly ChatMessage[], options: Record<string, unknown>) => Generation;

const longestWait = 2 ** 31 - 1;
const rules = {
  maxRounds: integer(1, 1000),
  toolTimeoutMs: integer(1, longestWait),
  onChunk: callback,
  signal: signalRule,
} satisfies Record<keyof RunToolsOptions, Rule>;

interface Runner {
  execute: RunnableTool['execute'];
  timeoutMs: number;
}

interface Task {
  generate: Generate;
  messages: ChatMessage[];
  tools: FunctionTool[];
  runners: ReadonlyMap<string, Runner>;
  options: RunToolsOptions;
  /** For `generate`. */
  others: Record<string, unknown>;
}

/** Rejects with INVALID_OPTION, and as `generate` does. @param messages copies */
export async function runTools(
  generate: Generate,
  messages: readonly ChatMessage[],
  tools: unknown,
  given: unknown,
): Promise<RunToolsResult> {
  const { own, others } = splitOptions(given);
  const options = parseOptions(rules, own, 'runTools') as RunToolsOptions;
  const { definitions, runners } = readRunnable(tools, options.toolTimeoutMs ?? 60_000);
  return loop({ generate, messages: [...messages], tools: definitions, runners, options, others });
}

async function loop(task: Task): Promise<RunToolsResult> {
  const { generate, messages, tools, options, others } = task;
  const { maxRounds = 8, signal } = options;
  for (let round = 0; ; ++round) {
    // A call that was required has been made in the first round: forever would be no answer.
    const choice = round === 0 ? {} : { toolChoice: afterFirst(others.toolChoice as ToolChoice | undefined) };
    const run = generate(messages, { ...others, ...choice, tools, signal });
    if (options.onChunk) for await (const chunk of run) options.onChunk(chunk, round);
    const result = await run;
    messages.push(assistantMessage(result));
    const calls = result.finishReason === 'tool_calls' ? (result.toolCalls ?? []) : [];
    const rounds = round + 1;
    if (calls.length === 0 || rounds === maxRounds) return { ...result, messages, rounds };
    const outcomes = await Promise.all(calls.map((call) => outcomeOf(call, task)));
    for (const [i, call] of calls.entries()) messages.push(toolMessage(call, outcomes[i]));
    if (signal?.aborted) return { ...result, finishReason: 'abort', messages, rounds };
  }
}

function afterFirst(choice: ToolChoice | undefined): ToolChoice | undefined {
  return choice === 'none' ? choice : undefined;
}

/** Options of our own and those of `generate`. */
function splitOptions(given: unknown): { own: Record<string, unknown>; others: Record<string, unknown> } {
  return reading('The options of runTools', () => {
    if (given !== undefined && (typeof given !== 'object' || given === null || Array.isArray(given))) {
      throw invalidOption('of runTools', given, 'an object');
    }
    const own: Record<string, unknown> = {};
    const others: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(given ?? {})) {
      if (name === 'tools') throw invalidOption('tools', value, 'the second argument of runTools');
      (Object.hasOwn(rules, name) ? own : others)[name] = value;
    }
    return { own, others };
  });
}

/** Throws INVALID_OPTION. */
function readRunnable(
  tools: unknown,
  timeout: number,
): { definitions: FunctionTool[]; runners: ReadonlyMap<string, Runner> } {
  return reading('The tools', () => {
    if (!Array.isArray(tools)) throw invalidOption('tools', tools, 'an array of { name, execute }');
    const runners: Runner[] = [];
    const plain = Array.from(tools as unknown[], (tool, i) => {
      const { execute, timeoutMs = timeout, ...definition } = (tool ?? {}) as Partial<RunnableTool>;
      if (typeof execute !== 'function') throw invalidOption(`tools[${i}].execute`, execute, 'a function');
      const wait = integer(1, longestWait);
      if (!wait.fits(timeoutMs)) throw invalidOption(`tools[${i}].timeoutMs`, timeoutMs, wait.allowed);
      runners.push({ execute: execute.bind(tool), timeoutMs });
      return definition;
    });
    const definitions = readTools(plain);
    return { definitions, runners: new Map(definitions.map((one, i) => [one.function.name, runners[i]])) };
  });
}

/** What the model is told of a call. Never rejects. */
async function outcomeOf(call: ToolCall, { runners, options }: Task): Promise<string> {
  const runner = runners.get(call.name);
  if (call.error !== undefined || runner === undefined)
    return `Error: ${call.error ?? 'There is no such tool.'}`;
  const ending = new AbortController();
  const end = (reason: unknown): void => ending.abort(reason);
  const abort = (): void => end(options.signal?.reason);
  const timer = setTimeout(
    () => end(new Error(`The tool took longer than ${runner.timeoutMs} ms.`)),
    runner.timeoutMs,
  );
  options.signal?.addEventListener('abort', abort, { once: true });
  if (options.signal?.aborted) abort();
  try {
    return textOf(await ended(runner, call, ending.signal));
  } catch (error) {
    return `Error: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', abort);
  }
}

/** What the tool gives, or the reason for which nobody waits any more. */
function ended({ execute }: Runner, call: ToolCall, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    signal.throwIfAborted();
    Promise.resolve(execute(structuredClone(call.arguments), { signal, id: call.id })).then(resolve, reject);
  });
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value.toWellFormed();
  return value === undefined ? '' : (JSON.stringify(value) ?? String(value));
}
