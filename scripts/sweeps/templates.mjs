// Chat templates that people have (those that llama.cpp tests itself with) and the conversations of the tests, rendered by us and
// by transformers' own Jinja: the same text, or both refuse. Only where a content in parts would be printed as a Python list do
// we differ on purpose: it is joined to one text (lib/tokenizer/chat-template.ts). Prints what differs, and a line of JSON.
//
// usage: node scripts/sweeps/templates.mjs
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contentValue, messageValue } from '../../dist/templates/conversation.js';
import { TemplateFailure } from '../../dist/templates/failure.js';
import { PartsPrinted } from '../../dist/templates/printing.js';
import { Template } from '../../dist/templates/template.js';
import { Text } from '../../dist/templates/text.js';
import { List } from '../../dist/templates/values.js';
import { fetchPython, fetchTemplates, root } from './sources.mjs';

/** The reference's clock (scripts/goldens/chat_templates.py). */
const now = new Date(2026, 6, 4, 15, 7, 9, 123);
const special = { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', pad_token: '</s>' };

const conversationsFile = join(root, 'test/fixtures/chat-templates/conversations.json');
const conversations = JSON.parse(readFileSync(conversationsFile, 'utf8'));

function reference(folder, python) {
  const scratch = mkdtempSync(join(tmpdir(), 'kvasir-templates-'));
  try {
    const out = join(scratch, 'rendered.json');
    const script = join(root, 'scripts/goldens/chat_templates.py');
    execFileSync(python, [script, 'templates', folder, conversationsFile, out], { stdio: 'ignore' });
    return JSON.parse(readFileSync(out, 'utf8'));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function valuesOf({ messages, tools, documents, addGenerationPrompt = true, variables = {} }) {
  const values = new Map(Object.entries(special).map(([name, token]) => [name, Text.of(token)]));
  for (const [name, value] of Object.entries(variables)) values.set(name, contentValue(value, name));
  values.set('messages', new List(messages.map(messageValue)));
  values.set('tools', contentValue(tools ?? null, 'tools'));
  values.set('documents', contentValue(documents ?? null, 'documents'));
  return values.set('add_generation_prompt', addGenerationPrompt);
}

/** `joined`: content in parts would have been printed. */
function render(template, conversation) {
  try {
    const segments = new Template(template).render(valuesOf(conversation), { now });
    return { text: segments.map(({ text }) => text).join('') };
  } catch (failure) {
    if (failure instanceof PartsPrinted) return { joined: true };
    if (failure instanceof TemplateFailure) return { error: failure.kind };
    throw failure;
  }
}

const folder = await fetchTemplates();
const expected = reference(folder, await fetchPython());
const files = readdirSync(folder).sort();
const sum = { templates: files.length, renderings: 0, same: 0, refused: 0, joined: 0, differ: 0 };
for (const file of files) {
  const template = readFileSync(join(folder, file), 'utf8');
  for (const [name, conversation] of Object.entries(conversations)) {
    const golden = expected[file][name];
    const ours = render(template, conversation);
    ++sum.renderings;
    if (golden.text !== undefined && golden.text === ours.text) ++sum.same;
    else if (golden.text === undefined && ours.text === undefined) ++sum.refused;
    else {
      ++sum[ours.joined ? 'joined' : 'differ'];
      console.log(JSON.stringify({ file, name, golden, ours }).slice(0, 2000));
    }
  }
}
console.log(JSON.stringify(sum));
