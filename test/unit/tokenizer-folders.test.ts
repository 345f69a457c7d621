/**
 * Model folders whose tokens and chat templates are told by several files, against what transformers makes of each
 * (test/fixtures/tokenizer-folders/make.py).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { tokenizerSourceOf } from '../../lib/formats/index.js';
import { folderFiles } from '../../lib/hub/local-files.js';
import { buildTokenTable } from '../../lib/tokenizer/build-token-table.js';
import { ChatTemplate } from '../../lib/tokenizer/chat-template.js';
import { EncodingPipeline } from '../../lib/tokenizer/encoding-pipeline.js';
import type { FolderSource } from '../../lib/tokenizer/source.js';
import { TokenTable } from '../../lib/tokenizer/token-table.js';
import { definitionFromFiles } from '../../lib/tokenizer/tokenizer-files.js';
import { writeTokenizerFiles } from '../../lib/tokenizer/write-files.js';

interface Case {
  name: string;
  added: object[];
  files: Record<string, string | object>;
  ids: number[][];
  decoded: string[];
  named: Record<string, string>;
  templates: [name: string | null, rendered: { text?: string; error?: true }][];
}

const path = new URL('../fixtures/tokenizer-folders/cases.json', import.meta.url);
const { texts, definition, cases } = JSON.parse(readFileSync(path, 'utf8')) as {
  texts: string[];
  definition: object;
  cases: Case[];
};
const scratch = mkdtempSync(join(tmpdir(), 'kvasir-folders-'));
afterAll(() => rmSync(scratch, { recursive: true }));

async function sourceIn(folder: string): Promise<FolderSource> {
  return tokenizerSourceOf(await folderFiles(folder)) as FolderSource;
}

async function folderOf({ added, files }: Pick<Case, 'added' | 'files'>): Promise<FolderSource> {
  const folder = mkdtempSync(join(scratch, 'model-'));
  const all = { 'config.json': {}, 'model.safetensors': '', ...files };
  for (const [name, content] of Object.entries({
    ...all,
    'tokenizer.json': { ...definition, added_tokens: added },
  })) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return sourceIn(folder);
}

function chatOf(pipeline: EncodingPipeline, name: string | null): { text?: string; error?: true } {
  const { chatTemplates, specialTokens } = pipeline.definition;
  const chats = new ChatTemplate(chatTemplates, specialTokens);
  try {
    // Names alone are printed by some of them.
    const messages = [{ role: 'user', content: 'hi' }];
    const rendered = chats.render(messages, name === null ? {} : { template: name });
    return { text: rendered.map(({ text }) => text).join('') };
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    return { error: true };
  }
}

function expectAsReference(one: Case, source: FolderSource): void {
  const pipeline = new EncodingPipeline(definitionFromFiles(source));
  const table = new TokenTable(buildTokenTable(pipeline, pipeline.definition.json.decoder));
  const { others = {}, ...named } = pipeline.definition.specialTokens;
  const names = Object.entries(named).flatMap(([name, token]) =>
    token === undefined ? [] : [[`${name}_token`, token]],
  );
  expect({ ...Object.fromEntries(names), ...others }).toEqual(one.named);
  texts.forEach((text, i) => {
    const ids = Array.from(pipeline.encode(text, { addSpecialTokens: true }));
    expect(ids, text).toEqual(one.ids[i]);
    expect(table.decode(ids, true), text).toBe(one.decoded[i]);
  });
  for (const [name, rendered] of one.templates)
    expect(chatOf(pipeline, name), `template ${name}`).toEqual(rendered);
}

describe('tokens of a folder', () => {
  test.each(cases)('$name', async (one) => {
    expectAsReference(one, await folderOf(one));
  });

  test('go with it where it is written again', async () => {
    for (const one of cases) {
      const folder = mkdtempSync(join(scratch, 'copy-'));
      await writeTokenizerFiles(await folderOf(one), folder);
      writeFileSync(join(folder, 'config.json'), '{}');
      writeFileSync(join(folder, 'model.safetensors'), '');
      expectAsReference(one, await sourceIn(folder));
    }
  });

  test.each([
    ['tokenizer_config.json', '{"eos_token": 5}', /tokenizer_config.json .*eos_token: it must be an object/],
    [
      'tokenizer_config.json',
      '{"additional_special_tokens": [5]}',
      /additional_special_tokens.0: it must be an object/,
    ],
    ['added_tokens.json', '{"<x>": "1"}', /added_tokens.json .*<x>: it must be a whole number/],
    ['special_tokens_map.json', '[]', /special_tokens_map.json .*must be an object/],
    [
      'tokenizer_config.json',
      '{"eos_token": {"content": ""}}',
      /content: it must be a string with something/,
    ],
  ])('%s with %s is refused by name', async (name, content, message) => {
    const source = await folderOf({ added: [], files: { [name]: content } });
    expect(() => definitionFromFiles(source)).toThrow(message);
  });

  test('an unknown template is refused with the names that there are', async () => {
    const chats = new ChatTemplate(
      [
        { name: 'a', template: 'x' },
        { name: 'b', template: 'y' },
      ],
      {},
    );
    const render = (template?: string) => () => chats.render([{ role: 'user', content: 'x' }], { template });
    expect(render('c')).toThrow(/no chat template 'c'; it has 'a', 'b'/);
    expect(render()).toThrow(/none by default.*'a', 'b'/);
  });
});
