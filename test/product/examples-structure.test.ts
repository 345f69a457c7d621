/** The JSON extractor and the tool-calling agent of examples/, as they stand, over a model that knows nothing of either. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, expect, it } from 'vitest';
import { makeChatModel, runExample } from '../cli/cli-command.js';

const scratch = mkdtempSync(join(tmpdir(), 'kvasir-examples-'));
const chat = makeChatModel();
afterAll(() => {
  chat.remove();
  rmSync(scratch, { recursive: true });
});

it('extracts a record of the schema from each line', async () => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 40 },
      age: { type: 'integer', minimum: 0, maximum: 150 },
      mood: { enum: ['good', 'bad'] },
    },
    required: ['name', 'age', 'mood'],
    additionalProperties: false,
  };
  const file = join(scratch, 'person.schema.json');
  writeFileSync(file, JSON.stringify(schema));
  const lines = Array.from({ length: 18 }, (_, i) => `Anna ${i} is happy.`);
  const { status, stdout, stderr } = await runExample(
    'json-extractor/extract.mjs',
    [file, 'stories-260k', '40'],
    lines.join('\n'),
  );
  expect(stderr).not.toContain('Error');
  expect(status).toBe(0);
  const validate = new Ajv2020().compile(schema);
  const records = stdout.trim().split('\n');
  expect(records).toHaveLength(lines.length);
  for (const record of records) expect(validate(JSON.parse(record)), record).toBe(true);
  const without = await runExample('json-extractor/extract.mjs', []);
  expect([without.status, without.stderr]).toEqual([1, expect.stringContaining('usage:')]);
});

it('calls tools with arguments of their schemas, and goes on with their results', async () => {
  writeFileSync(join(scratch, 'notes.txt'), 'one\ntwo\nthree');
  const { status, stderr } = await runExample('tool-agent/agent.mjs', [
    'How many lines?',
    scratch,
    chat.folder,
  ]);
  expect(stderr).not.toContain('Error:');
  expect(status).toBe(0);
  const called = [...stderr.matchAll(/^call (\w+) (.*)$/gm)];
  expect(called.length).toBeGreaterThan(0);
  for (const [, name, given] of called) {
    const fits =
      name === 'list_files' ? {} : { name: expect.stringMatching(/^(notes\.txt|person\.schema\.json)$/) };
    expect(JSON.parse(given)).toEqual(fits);
  }
  expect(stderr.match(/^result .+/gm)?.length).toBe(called.length);
  expect(stderr).toMatch(/\d answers/);
});
