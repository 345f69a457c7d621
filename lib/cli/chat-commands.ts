/** What begins with a slash in a chat. */
import { KvasirError } from '../errors.js';
import type { GenerateOptions } from '../options.js';
import { generateFlagOf, generateOptionsOf } from './arguments.js';
import type { Conversation } from './conversation.js';
import { UsageError } from './failure.js';

export const commandHelp = `/reset                 forget the conversation
/retry                 answer the last message again
/fork                  keep the conversation as it is now, and go on
/back                  go back to where /fork was last
/system [text]         another system message, or none; the conversation stays
/set [option [value]]  show or change an option, such as: /set temperature 0.8
/save <file>           write the conversation as JSON
/load <file>           go on with a saved one
/help                  list these
/exit                  leave (so does the end of the input)
//text                 a message that begins with a slash`;

export interface ChatState {
  conversation: Conversation;
  /** Of `generate`, by name; kept as the flags give them. */
  options: GenerateOptions;
}

/** What to say, or the message to answer again. */
export interface Outcome {
  say?: string;
  retry?: string;
}

type ChatCommand = (state: ChatState, argument: string) => Outcome | Promise<Outcome>;

const commands: Readonly<Record<string, ChatCommand>> = {
  '/help': () => ({ say: commandHelp }),
  '/reset': ({ conversation }) => {
    conversation.restart();
    return { say: 'The conversation is forgotten.' };
  },
  '/retry': ({ conversation }) => {
    const { question } = conversation;
    return question === undefined ? { say: 'There is nothing to answer again.' } : { retry: question };
  },
  '/fork': ({ conversation }) => {
    conversation.fork();
    return { say: '/back comes back to this point.' };
  },
  '/back': ({ conversation }) => {
    if (!conversation.back()) return { say: 'There is no point to go back to: /fork keeps one.' };
    return { say: `The conversation has ${conversation.messages.length} messages again.` };
  },
  '/system': ({ conversation }, text) => {
    conversation.restart(conversation.messages, { system: text === '' ? undefined : text });
    return { say: text === '' ? 'There is no system message now.' : 'The system message is another now.' };
  },
  '/set': setOption,
  '/save': async ({ conversation }, path) => {
    if (path === '') throw new UsageError('/save needs the name of a file.');
    await conversation.save(path).catch((error: Error) => {
      throw new UsageError(`${path} cannot be written: ${error.message}.`);
    });
    return { say: `${conversation.messages.length} messages are in ${path}.` };
  },
  '/load': async ({ conversation }, path) => {
    if (path === '') throw new UsageError('/load needs the name of a file.');
    return { say: `The conversation has ${await conversation.load(path)} messages.` };
  },
};

function setOption(state: ChatState, argument: string): Outcome {
  const [name = '', ...words] = argument.split(/\s+/);
  if (name === '') {
    const given = Object.entries(state.options).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
    return { say: given.length > 0 ? given.join('\n') : "All options are the model's own." };
  }
  const flag = generateFlagOf(name);
  if (flag === undefined) throw new UsageError(`There is no option "${name}". See "kvasir chat --help".`);
  const key = flag.attributeName() as keyof GenerateOptions;
  if (words.length === 0)
    return { say: `${key} ${JSON.stringify(state.options[key]) ?? "is the model's own"}` };
  const text = words.join(' ');
  const value = flag.parseArg ? flag.parseArg(text, undefined as never) : text === 'true';
  const options = { ...state.options, [key]: value };
  generateOptionsOf({ ...options, json: true });
  state.options = options;
  return { say: `${key} ${JSON.stringify(value)}` };
}

/** Throws UsageError and what the session throws. */
export async function obey(line: string, state: ChatState): Promise<Outcome> {
  const [, name = '', argument = ''] = /^(\S+)\s*([\s\S]*)$/.exec(line) ?? [];
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) return { say: `There is no ${name}.\n${commandHelp}` };
  try {
    return await command(state, argument.trim());
  } catch (error) {
    if (error instanceof UsageError || error instanceof KvasirError) return { say: error.message };
    // What a flag's parser throws.
    if (error instanceof Error && 'code' in error) return { say: error.message };
    throw error;
  }
}
