/** A prompt as the AI SDK has it, to the messages that a chat template reads. Text only: other parts are refused by name. */
import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FilePart,
  LanguageModelV4Prompt,
  LanguageModelV4ToolResultPart,
} from '@ai-sdk/provider';
import { KvasirError } from '../errors.js';
import type { Message } from '../prompt.js';

type Given = LanguageModelV4Prompt[number];
type AssistantPart = Extract<Given, { role: 'assistant' }>['content'][number];
type ToolOutput = LanguageModelV4ToolResultPart['output'];

/** Throws INVALID_OPTION for parts that are no text, with their place. */
export function messagesOf(prompt: LanguageModelV4CallOptions['prompt']): Message[] {
  return prompt.flatMap((message, i) => messagesOfOne(message, `prompt[${i}]`));
}

function messagesOfOne(message: Given, where: string): Message[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }];
    case 'user': {
      const texts = message.content.map((part, i) =>
        part.type === 'text' ? part.text : fileText(part, `${where}.content[${i}]`),
      );
      return [{ role: 'user', content: texts.join('\n') }];
    }
    case 'assistant':
      return [answerOf(message.content, where)];
    case 'tool':
      return message.content.flatMap((part, i) =>
        // Approvals are between the caller and the SDK: the result that follows tells of them.
        part.type === 'tool-result' ? [resultOf(part, `${where}.content[${i}]`)] : [],
      );
  }
}

function answerOf(parts: readonly AssistantPart[], where: string): Message {
  const texts: string[] = [];
  const thoughts: string[] = [];
  const calls: unknown[] = [];
  for (const [i, part] of parts.entries()) {
    if (part.type === 'text') texts.push(part.text);
    else if (part.type === 'reasoning') thoughts.push(part.text);
    else if (part.type === 'tool-call') {
      const { toolCallId: id, toolName: name, input } = part;
      calls.push({ id, type: 'function', function: { name, arguments: input ?? {} } });
    } else throw noText(part.type, `${where}.content[${i}]`);
  }
  const message: Message = { role: 'assistant', content: texts.join('') };
  if (thoughts.length > 0) message.reasoning_content = thoughts.join('\n');
  if (calls.length > 0) message.tool_calls = calls;
  return message;
}

function resultOf(
  { toolCallId, toolName: name, output }: LanguageModelV4ToolResultPart,
  where: string,
): Message {
  return { role: 'tool', tool_call_id: toolCallId, name, content: outputText(output, where) };
}

function outputText(output: ToolOutput, where: string): string {
  switch (output.type) {
    case 'text':
      return output.value;
    case 'json':
      return JSON.stringify(output.value);
    case 'error-text':
      return `Error: ${output.value}`;
    case 'error-json':
      return `Error: ${JSON.stringify(output.value)}`;
    case 'execution-denied':
      return `Error: ${output.reason ?? 'the call was denied'}`;
    case 'content': {
      const texts = output.value.map((part, i) => {
        if (part.type === 'text') return part.text;
        throw noText(part.type, `${where}.output.value[${i}]`);
      });
      return texts.join('\n');
    }
  }
}

/** Of a file that is text: bytes, base64 or the text itself; older versions of the specification have no tag around it. */
export function fileText({ mediaType, data }: LanguageModelV4FilePart, where: string): string {
  const given: unknown = data;
  if (!/^text(\/|$)/.test(mediaType)) throw noText(mediaType, where);
  const tagged = isRecord(given) ? given : { type: 'data', data: given };
  if (tagged.type === 'text' && typeof tagged.text === 'string') return tagged.text;
  if (tagged.type === 'data' && typeof tagged.data === 'string') {
    return Buffer.from(tagged.data, 'base64').toString('utf8');
  }
  if (tagged.type === 'data' && tagged.data instanceof Uint8Array)
    return Buffer.from(tagged.data).toString('utf8');
  throw noText(`${mediaType} at an address`, where);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && 'type' in value;
}

function noText(type: string, where: string): KvasirError {
  return new KvasirError(
    'INVALID_OPTION',
    `${where}: a part of type '${type}' is no text, and the model takes text only.`,
    { details: { option: where } },
  );
}
