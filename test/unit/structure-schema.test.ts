/** JSON Schema as a grammar: instances go through whole, what is drawn validates under ajv, the rest is refused by name. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { schemaCases } from './structure-schemas.js';
import { logicCases } from './structure-schemas-logic.js';
import { accepts, compiled, drawn, seeded, spaced } from './structure-grammar.js';

const ajv = new Ajv2020({ strict: false, allErrors: false });
formats.default(ajv);

describe.each([...schemaCases, ...logicCases])('$name', ({ schema, valid, invalid }) => {
  it('takes instances and nothing else', async () => {
    const grammar = await compiled({ type: 'json', schema });
    const validate = ajv.compile(schema as object);
    for (const value of valid) {
      expect(validate(value), `ajv on ${JSON.stringify(value)}`).toBe(true);
      expect(accepts(grammar, JSON.stringify(value)), JSON.stringify(value)).toBe(true);
      expect(accepts(grammar, spaced(value)), spaced(value)).toBe(true);
    }
    for (const value of invalid) {
      expect(validate(value), `ajv on ${JSON.stringify(value)}`).toBe(false);
      expect(accepts(grammar, JSON.stringify(value)), JSON.stringify(value)).toBe(false);
    }
  });

  it('gives instances', async () => {
    const grammar = await compiled({ type: 'json', schema });
    const validate = ajv.compile(schema as object);
    for (let i = 0; i < 20; i++) {
      const text = drawn(grammar, seeded(i), 150);
      expect(validate(JSON.parse(text)), text).toBe(true);
    }
  });
});

describe('what is beyond', () => {
  it.each([
    [{ type: 'string', minLenght: 3 }, '#/minLenght'],
    [{ $dynamicRef: '#x' }, '#/$dynamicRef'],
    [{ $ref: 'https://example.com/x' }, '#/$ref'],
    [{ $ref: '#/$defs/none' }, '#/$ref'],
    [{ anyOf: [{ type: 'string' }, { $ref: '#' }] }, '#'],
    [{ type: 'number', multipleOf: 0.1 }, '#/multipleOf'],
    [{ type: 'array', uniqueItems: true, items: { type: 'string' } }, '#/uniqueItems'],
    [{ type: 'string', format: 'color' }, '#/format'],
    [{ type: 'string', pattern: '(?<=a)b' }, '#/pattern'],
    [{ properties: { 'a/b': { type: 'thing' } } }, '#/properties/a~1b/type'],
    [{ type: 'string', minLength: -1 }, '#/minLength'],
    [{ properties: [] }, '#/properties'],
    [{ items: 3 }, '#/items'],
  ])('%j is refused at %s', async (schema, path) => {
    await expect(compiled({ type: 'json', schema })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(`${path} `),
    });
  });

  it('what no value satisfies is refused', async () => {
    for (const schema of [false, { type: 'string', enum: [1] }, { minimum: 3, maximum: 2, type: 'number' }]) {
      await expect(compiled({ type: 'json', schema })).rejects.toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining('matches no text'),
      });
    }
  });

  it('hostile schemas end within budgets', async () => {
    let nested: unknown = {};
    for (let i = 0; i < 90; i++) nested = { type: 'array', items: nested };
    await expect(
      compiled({ type: 'json', schema: { type: 'array', items: { items: { items: nested } } } }),
    ).resolves.toBeDefined();
    const wide = { anyOf: Array.from({ length: 30 }, (_, i) => ({ minimum: i })) };
    const many = { allOf: Array.from({ length: 8 }, () => structuredClone(wide)) };
    await expect(compiled({ type: 'json', schema: many })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });
});
