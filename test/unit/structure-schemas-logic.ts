/** Schemas whose keywords negate, depend on each other, or look at what others have left, with instances. */
import type { SchemaCase } from './structure-schemas.js';

const text = { type: 'string' };
const number = { type: 'integer' };

export const logicCases: readonly SchemaCase[] = [
  {
    name: 'not a value',
    schema: { type: 'string', not: { enum: ['red', 'green'] } },
    valid: ['blue', '', 'redd', 're'],
    invalid: ['red', 'green'],
  },
  {
    name: 'not a range',
    schema: { type: 'integer', minimum: 0, maximum: 20, not: { minimum: 5, maximum: 9 } },
    valid: [0, 4, 10, 20],
    invalid: [5, 7, 9, 21],
  },
  {
    name: 'not a required member',
    schema: {
      type: 'object',
      properties: { a: text, b: number },
      additionalProperties: false,
      not: { required: ['a', 'b'] },
    },
    valid: [{}, { a: 'x' }, { b: 1 }],
    invalid: [{ a: 'x', b: 1 }],
  },
  {
    name: 'oneOf whose branches overlap',
    schema: {
      oneOf: [
        { type: 'integer', minimum: 1 },
        { type: 'integer', maximum: 3 },
      ],
    },
    valid: [0, -7, 4, 90],
    invalid: [1, 2, 3, 'a', 1.5],
  },
  {
    name: 'if, then, else by a tag',
    schema: {
      type: 'object',
      properties: { kind: { enum: ['a', 'b'] }, n: number, s: text },
      required: ['kind'],
      additionalProperties: false,
      if: { properties: { kind: { const: 'a' } } },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { required: ['n'] },
      else: { required: ['s'] },
    },
    valid: [
      { kind: 'a', n: 1 },
      { kind: 'b', s: 'x' },
      { kind: 'b', n: 2, s: '' },
    ],
    invalid: [{ kind: 'a' }, { kind: 'a', s: 'x' }, { kind: 'b', n: 2 }],
  },
  {
    name: 'if of a type',
    schema: {
      type: ['string', 'integer'],
      if: { type: 'string' },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { maxLength: 3 },
      else: { minimum: 10 },
    },
    valid: ['abc', '', 10, 99],
    invalid: ['abcd', 9, true],
  },
  {
    name: 'dependentRequired',
    schema: {
      type: 'object',
      properties: { card: text, address: text },
      additionalProperties: false,
      dependentRequired: { card: ['address'] },
    },
    valid: [{}, { address: 'x' }, { card: '1', address: 'x' }],
    invalid: [{ card: '1' }],
  },
  {
    name: 'dependentSchemas',
    schema: {
      type: 'object',
      properties: { a: number, b: number },
      additionalProperties: false,
      dependentSchemas: { a: { properties: { b: { minimum: 10 } } } },
    },
    valid: [{}, { b: 1 }, { a: 1 }, { a: 1, b: 10 }],
    invalid: [{ a: 1, b: 9 }],
  },
  {
    name: 'contains, with counts',
    schema: {
      type: 'array',
      items: { enum: ['x', 'y', 'z'] },
      maxItems: 5,
      contains: { const: 'x' },
      minContains: 1,
      maxContains: 2,
    },
    valid: [['x'], ['y', 'x'], ['x', 'x', 'z']],
    invalid: [[], ['y'], ['x', 'x', 'x']],
  },
  {
    name: 'unevaluatedProperties behind allOf',
    schema: {
      type: 'object',
      allOf: [{ properties: { a: text }, required: ['a'] }],
      properties: { b: number },
      unevaluatedProperties: false,
    },
    valid: [{ a: 'x' }, { a: 'x', b: 1 }],
    invalid: [{ a: 'x', c: 1 }, { b: 1 }],
  },
  {
    name: 'unevaluatedItems',
    schema: { type: 'array', prefixItems: [text, number], unevaluatedItems: false },
    valid: [[], ['a'], ['a', 1]],
    invalid: [['a', 1, 2], [1]],
  },
  {
    name: 'members before those of allOf and $ref',
    schema: {
      type: 'object',
      properties: { a: text },
      allOf: [{ properties: { b: text } }],
      $ref: '#/$defs/c',
      $defs: { c: { properties: { c: number } } },
      unevaluatedProperties: false,
    },
    valid: [{ a: 'x', b: 'y', c: 1 }, { a: 'x', c: 1 }, { b: 'y' }, {}],
    invalid: [{ a: 1 }, { a: 'x', d: 1 }],
  },
  {
    name: 'unevaluatedProperties around one that allows all',
    schema: {
      type: 'object',
      allOf: [{ properties: { a: text }, unevaluatedProperties: true }],
      unevaluatedProperties: false,
    },
    valid: [{}, { a: 'x' }, { a: 'x', b: 1 }, { c: null }],
    invalid: [{ a: 1 }],
  },
  {
    name: 'unevaluatedProperties beside a cousin that allows all',
    schema: {
      type: 'object',
      allOf: [
        { properties: { a: text }, unevaluatedProperties: true },
        { properties: { a: text }, unevaluatedProperties: false },
      ],
    },
    valid: [{}, { a: 'x' }],
    invalid: [{ a: 'x', b: 1 }],
  },
  {
    name: 'unevaluatedItems around another one',
    schema: {
      type: 'array',
      allOf: [{ prefixItems: [text] }, { prefixItems: [text], unevaluatedItems: number }],
      unevaluatedItems: false,
    },
    valid: [['a'], ['a', 1, 2]],
    invalid: [['a', 'b'], [1]],
  },
  {
    name: '$id scopes',
    schema: {
      $id: 'https://example.com/root',
      type: 'object',
      properties: { one: { $ref: 'item' } },
      required: ['one'],
      additionalProperties: false,
      $defs: { item: { $id: 'item', type: 'array', items: { $ref: '#/$defs/n' }, $defs: { n: number } } },
    },
    valid: [{ one: [] }, { one: [1, 2] }],
    invalid: [{ one: ['a'] }, {}],
  },
  {
    name: 'a tree through $dynamicRef',
    schema: {
      $dynamicAnchor: 'node',
      type: 'object',
      properties: { v: number, children: { type: 'array', items: { $dynamicRef: '#node' }, maxItems: 2 } },
      required: ['v'],
      additionalProperties: false,
    },
    valid: [{ v: 1 }, { v: 1, children: [{ v: 2, children: [] }] }],
    invalid: [{}, { v: 1, children: [{}] }],
  },
];
