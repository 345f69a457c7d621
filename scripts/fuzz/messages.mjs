// Random conversations through random templates and those of the fixtures, with tools, documents and variables.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { KvasirError, Tokenizer } from '../../dist/index.js';
import { randomTemplate, randomText, randomValue } from './content.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const templateFolder = join(root, 'test', 'fixtures', 'chat-templates', 'templates');
const templates = readdirSync(templateFolder).map((name) => readFileSync(join(templateFolder, name), 'utf8'));
const path = join(root, 'models', 'stories-260k', 'tokenizer.json');

function randomMessage(random) {
  const message = {
    role: random.pick(['user', 'assistant', 'system', 'tool', 'developer', 'user', randomText(random, 1)]),
    content: random.chance(0.7)
      ? randomText(random, 8)
      : random.pick([
          null,
          [{ type: 'text', text: randomText(random, 4) }],
          [{ type: 'image' }],
          [],
          5,
          undefined,
        ]),
  };
  if (random.chance(0.2))
    message[random.pick(['tool_calls', 'name', 'thinking', '__proto__'])] = randomValue(random, 3);
  return message;
}

function randomOptions(random) {
  const options = {};
  if (random.chance(0.3)) options.tools = random.several(2, () => randomValue(random, 3));
  if (random.chance(0.2))
    options.documents = random.several(2, () => ({ title: 't', text: randomText(random, 3) }));
  if (random.chance(0.2))
    options.variables = { [randomText(random, 1)]: randomValue(random, 2), x: randomValue(random, 2) };
  if (random.chance(0.3)) options.addGenerationPrompt = random.chance(0.5);
  return options;
}

/** A refusal of one conversation says nothing of the next. */
async function allowed(work) {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof KvasirError) || error.code === 'INTERNAL') throw error;
  }
}

export async function fuzzMessages({ random, folder }) {
  mkdirSync(folder);
  const chatTemplatePath = join(folder, 'chat_template.jinja');
  writeFileSync(chatTemplatePath, random.chance(0.4) ? random.pick(templates) : randomTemplate(random));
  const tokenizer = await Tokenizer.load({ kind: 'tokenizer-json', path, chatTemplatePath });
  try {
    for (let i = 0; i < 4; ++i) {
      const messages = random.several(4, () => randomMessage(random));
      const options = randomOptions(random);
      await allowed(() => tokenizer.encodeChat(messages, options));
      await allowed(() => tokenizer.applyChatTemplate(messages, options));
    }
  } finally {
    await tokenizer.dispose();
  }
}
