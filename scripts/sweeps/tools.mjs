// Chat templates that people have (those that llama.cpp tests itself with): which format their calls have, and that a call which the
// template itself renders is read back as the same call, character by character. A template that renders no calls of the
// assistant (it leaves them to the model) is listed. Prints what differs, and a line of JSON.
//
// usage: node scripts/sweeps/tools.mjs [folder of templates]
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Answer } from '../../dist/output/answer.js';
import { OutputParser } from '../../dist/output/parser.js';
import { reasoningMarkers } from '../../dist/output/reasoning.js';
import { templateFormat } from '../../dist/output/style.js';
import { ChatTemplate } from '../../dist/tokenizer/chat-template.js';
import { withWrittenCalls } from '../../dist/tools/messages.js';
import { fetchTemplates } from './sources.mjs';

const parameters = {
  type: 'object',
  properties: {
    city: { type: 'string', description: 'Its name.' },
    days: { type: 'integer', description: 'How many.' },
    exact: { type: 'boolean', description: 'Whether.' },
  },
  required: ['city'],
};
const tools = [{ type: 'function', function: { name: 'get_weather', description: 'Weather.', parameters } }];
const given = { city: 'Zürich "am" See', days: 3, exact: true };
const call = { id: 'abcdefghi', type: 'function', function: { name: 'get_weather', arguments: given } };
const user = { role: 'user', content: 'Weather?' };
const identity = (marker) => marker;

function render(template, messages, addGenerationPrompt) {
  const chat = new ChatTemplate([{ name: 'default', template }], { bos: '<s>', eos: '</s>' });
  return chat
    .render(messages, { tools, addGenerationPrompt })
    .map(({ text }) => text)
    .join('');
}

/** What the template writes for an answer with a call: all behind what it writes without the answer. */
function written(template) {
  const { written: write } = templateFormat(template, []);
  const calls = { role: 'assistant', content: '', tool_calls: [call] };
  const messages = [user, calls];
  const isLeftOut = write !== undefined && !template.includes('tool_calls');
  const whole = render(template, isLeftOut ? withWrittenCalls(messages, write) : messages, false);
  const prompts = [true, false].map((open) => render(template, [user], open));
  const prompt = prompts.find((one) => whole.startsWith(one));
  if (prompt !== undefined) return { promptEnd: prompt.slice(-200), output: whole.slice(prompt.length) };
  let at = 0;
  while (whole[at] === prompts[1][at]) at++;
  return { promptEnd: '', output: whole.slice(at) };
}

function read(template, { promptEnd, output }) {
  const names = tools.map((tool) => tool.function.name);
  const shapes = tools.map((tool) => tool.function);
  const context = {
    coded: identity,
    marker: (text) => [text],
    tools: shapes,
    tellsReasoning: true,
    promptEnd,
    isStructured: false,
  };
  const format = templateFormat(template, []).make(context);
  const reasoning = reasoningMarkers(template);
  const startsReasoning = reasoning !== undefined && promptEnd.trimEnd().endsWith(reasoning.open.trimEnd());
  const parser = new OutputParser({ format, reasoning, startsReasoning, answer: new Answer([], names) });
  for (const character of output) parser.push(character, '');
  parser.flush('');
  return parser.answer.calls;
}

function outcome(template) {
  if (templateFormat(template, []) === undefined) return { kind: 'unknown' };
  let answer;
  try {
    answer = written(template);
  } catch (error) {
    return { kind: 'unrendered', why: error.message };
  }
  const calls = read(template, answer);
  const same =
    calls.length === 1 &&
    calls[0].error === undefined &&
    calls[0].name === 'get_weather' &&
    JSON.stringify(Object.entries(calls[0].arguments).sort()) ===
      JSON.stringify(Object.entries(given).sort());
  return same ? { kind: 'same' } : { kind: 'differ', output: answer.output, calls };
}

const folder = process.argv[2] ?? (await fetchTemplates());
const sum = { templates: 0, same: 0, unrendered: 0, unknown: 0, differ: 0, formats: {} };
for (const file of readdirSync(folder)
  .filter((name) => name.endsWith('.jinja'))
  .sort()) {
  const template = readFileSync(join(folder, file), 'utf8');
  const found = outcome(template);
  ++sum.templates;
  ++sum[found.kind];
  const name = templateFormat(template, [])?.name;
  if (name !== undefined) sum.formats[name] = (sum.formats[name] ?? 0) + 1;
  if (found.kind !== 'same') console.log(JSON.stringify({ file, format: name, ...found }).slice(0, 1200));
}
console.log(JSON.stringify(sum));
