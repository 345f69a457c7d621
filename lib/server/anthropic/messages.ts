/** Messages as Anthropic's protocol has them, to those that a chat template reads. */
import * as v from 'valibot';
import type { Message } from '../../prompt.js';
import { type Failure, invalid } from '../failure.js';

const cacheControl = v.optional(v.nullable(v.looseObject({ type: v.string() })));
const textBlock = v.strictObject({
  type: v.literal('text'),
  text: v.string(),
  cache_control: cacheControl,
  citations: v.optional(v.nullable(v.array(v.unknown()))),
});
const anyBlock = v.looseObject({ type: v.string() });

export const systemSchema = v.union([v.string(), v.array(textBlock)]);
export const messagesSchema = v.pipe(
  v.array(
    v.strictObject({
      role: v.picklist(['user', 'assistant', 'system']),
      content: v.union([v.string(), v.array(anyBlock)]),
    }),
  ),
  v.minLength(1),
);

type System = v.InferOutput<typeof systemSchema>;
type MessageBody = v.InferOutput<typeof messagesSchema>[number];
type Block = v.InferOutput<typeof anyBlock>;

const blockSchemas = {
  text: textBlock,
  thinking: v.looseObject({ type: v.literal('thinking'), thinking: v.string() }),
  tool_use: v.looseObject({
    type: v.literal('tool_use'),
    id: v.string(),
    name: v.string(),
    input: v.record(v.string(), v.unknown()),
  }),
  tool_result: v.looseObject({
    type: v.literal('tool_result'),
    tool_use_id: v.string(),
    content: v.optional(v.nullable(v.union([v.string(), v.array(anyBlock)]))),
    is_error: v.optional(v.nullable(v.boolean())),
  }),
};

/** The block, of the kind that it says to be. Throws a Failure. */
function read<K extends keyof typeof blockSchemas>(
  kind: K,
  block: Block,
  where: string,
): v.InferOutput<(typeof blockSchemas)[K]> {
  const result = v.safeParse(blockSchemas[kind], block);
  if (result.success) return result.output as v.InferOutput<(typeof blockSchemas)[K]>;
  const [issue] = result.issues;
  throw invalid(issue.message.slice(0, 300), `${where}.${v.getDotPath(issue) ?? ''}`, 'invalid_value');
}

/** Throws a Failure that names the block. */
export function conversation(system: System | undefined, messages: readonly MessageBody[]): Message[] {
  const read = new Reader();
  if (system !== undefined && system.length > 0) {
    const text = typeof system === 'string' ? system : system.map((block) => block.text).join('\n');
    read.messages.push({ role: 'system', content: text });
  }
  for (const [i, message] of messages.entries()) read.add(message, `messages[${i}]`);
  return read.messages;
}

class Reader {
  readonly messages: Message[] = [];
  /** Names of the tools that were called, by the id of the call. */
  readonly #called = new Map<string, string>();

  add({ role, content }: MessageBody, where: string): void {
    if (typeof content === 'string') this.messages.push({ role, content });
    else if (role === 'assistant') this.#addAnswer(content, where);
    else this.#addQuestion(role, content, where);
  }

  #addAnswer(blocks: readonly Block[], where: string): void {
    const texts: string[] = [];
    const thoughts: string[] = [];
    const calls: unknown[] = [];
    for (const [i, block] of blocks.entries()) {
      const at = `${where}.content[${i}]`;
      if (block.type === 'text') texts.push(read('text', block, at).text);
      else if (block.type === 'thinking') thoughts.push(read('thinking', block, at).thinking);
      else if (block.type === 'tool_use') calls.push(this.#callOf(block, at));
      else throw noText(block, at);
    }
    const message: Message = { role: 'assistant', content: texts.join('\n') };
    if (thoughts.length > 0) message.reasoning_content = thoughts.join('\n');
    if (calls.length > 0) message.tool_calls = calls;
    this.messages.push(message);
  }

  #callOf(block: Block, at: string) {
    const { id, name, input } = read('tool_use', block, at);
    this.#called.set(id, name);
    return { id, type: 'function', function: { name, arguments: input } };
  }

  /** Results of tools are messages of their own. */
  #addQuestion(role: string, blocks: readonly Block[], where: string): void {
    const texts: string[] = [];
    for (const [i, block] of blocks.entries()) {
      const at = `${where}.content[${i}]`;
      if (block.type === 'text') texts.push(read('text', block, at).text);
      else if (block.type === 'tool_result') this.#addResult(block, at);
      else throw noText(block, at);
    }
    if (texts.length > 0) this.messages.push({ role, content: texts.join('\n') });
  }

  #addResult(block: Block, at: string): void {
    const { tool_use_id: id, content, is_error } = read('tool_result', block, at);
    const parts =
      typeof content === 'string'
        ? [content]
        : (content ?? []).map((part, i) => {
            if (part.type !== 'text') throw noText(part, `${at}.content[${i}]`);
            return read('text', part, `${at}.content[${i}]`).text;
          });
    const name = this.#called.get(id);
    if (name === undefined)
      throw invalid('No call before has this id.', `${at}.tool_use_id`, 'invalid_value');
    const text = parts.join('\n');
    this.messages.push({ role: 'tool', tool_call_id: id, name, content: is_error ? `Error: ${text}` : text });
  }
}

function noText({ type }: Block, where: string): Failure {
  const shown = type.slice(0, 40);
  return invalid(
    `A block of type '${shown}' is not taken here: the model takes text only.`,
    where,
    'text_only',
  );
}
