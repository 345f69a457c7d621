/** 300 schemas of applications: nearly all compile, no instance is refused, and what random logits write validates under ajv. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { amount } from '../nightly.js';
import { appSchemas } from './app-schemas.js';
import { accepts, compiled, drawn, seeded, spaced } from './structure-grammar.js';

const ajv = new Ajv2020({ strict: false, allErrors: false });
formats.default(ajv);
const schemas = appSchemas(seeded);
/** Of the schemas in a run of every day. */
const every = amount(12, 1);
const instances = amount(2, 4);
const samples = amount(3, 20);

it('are 300 different ones', () => {
  expect(new Set(schemas.map(({ schema }) => JSON.stringify(schema))).size).toBe(300);
});

it('compile, but for a few that are refused by name', async () => {
  const refused: string[] = [];
  for (const { name, schema } of schemas) {
    await compiled({ type: 'json', schema }).catch((error) => {
      expect(error).toMatchObject({ code: 'INVALID_OPTION', message: expect.stringMatching(/schema's #/) });
      refused.push(name);
    });
  }
  expect(refused.length, refused.join(', ')).toBeLessThanOrEqual(10);
}, 120_000);

describe.each(schemas.filter((_, i) => i % every === 0))('$name', ({ schema, make }) => {
  it('takes its instances and gives instances', async () => {
    const grammar = await compiled({ type: 'json', schema }).catch(() => undefined);
    if (grammar === undefined) return;
    const validate = ajv.compile(schema);
    const random = seeded(JSON.stringify(schema).length);
    for (let i = 0; i < instances; i++) {
      const value = make(random);
      expect(validate(value), JSON.stringify(value)).toBe(true);
      for (const text of [JSON.stringify(value), spaced(value)])
        expect(accepts(grammar, text), text).toBe(true);
    }
    for (let i = 0; i < samples; i++) {
      const text = drawn(grammar, seeded(i * 104_729 + 3), 600);
      expect(validate(JSON.parse(text)), text).toBe(true);
    }
  }, 120_000);
});
