// An agent over the files of one folder: the model may list, read and count, and answers when it knows enough. What it calls
// has arguments of the tools' schemas; what it names outside of the folder is refused.
//   node examples/tool-agent/agent.mjs 'How many lines has README.md?' . [model]
import { readdir, readFile, realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { Model } from 'kvasir';

const [question, folder = '.', reference = 'smollm2-135m'] = process.argv.slice(2);
if (question === undefined) throw new Error('usage: agent.mjs QUESTION [FOLDER] [MODEL]');
const root = await realpath(folder);

async function textOf(name) {
  const path = await realpath(resolve(root, name));
  if (path !== root && !path.startsWith(root + sep)) throw new Error(`${name} is outside of the folder`);
  return readFile(path, 'utf8');
}

const files = (await readdir(root, { withFileTypes: true })).filter((one) => one.isFile()).map(({ name }) => name);
const named = {
  type: 'object',
  properties: { name: files.length > 0 ? { enum: files.slice(0, 200) } : { type: 'string' } },
  required: ['name'],
  additionalProperties: false,
};
const nothing = { type: 'object', properties: {}, additionalProperties: false };
const tools = [
  { name: 'list_files', description: 'Names of the files.', parameters: nothing, execute: () => files },
  {
    name: 'read_file',
    description: 'The beginning of a text file.',
    parameters: named,
    execute: async ({ name }) => (await textOf(name)).slice(0, 2000),
  },
  {
    name: 'count_lines',
    description: 'How many lines a text file has.',
    parameters: named,
    execute: async ({ name }) => (await textOf(name)).split('\n').length,
  },
].map((tool) => ({ ...tool, strict: true }));

const model = await Model.load(reference);
const { text, messages, rounds } = await model.runTools([{ role: 'user', content: question }], tools, {
  maxRounds: 6,
  maxTokens: 300,
  toolChoice: 'required',
});
for (const { role, content, tool_calls: calls = [] } of messages) {
  for (const call of calls) console.error(`call ${call.function.name} ${JSON.stringify(call.function.arguments)}`);
  if (role === 'tool') console.error(`result ${content.slice(0, 200)}`);
}
console.log(text);
console.error(`${rounds} answers`);
await model.dispose();
