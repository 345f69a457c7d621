/** Regular expressions and GBNF as grammars: against JavaScript's own expressions, and what is refused. */
import { describe, expect, it } from 'vitest';
import { accepts, compiled, drawn, seeded } from './structure-grammar.js';

const patterns = [
  ...[
    'abc',
    'a*b+c?',
    '(ab|c){2,3}',
    '[a-c]{2}',
    '[^ab]+',
    '\\d{3}-\\d{4}',
    '\\w+@\\w+\\.(com|org)',
    '.*',
    'a.c',
    'é+',
  ],
  ...[
    '(?:a|b)*abb',
    '(?<x>a)b',
    '[\\d\\-a]+',
    '\\u00e9{1,2}',
    '\\x61',
    '\\u{1F600}',
    '[😀-😂]',
    '\\p{Lu}\\p{Ll}*',
    '\\S+ \\D',
    'a{3,}',
  ],
  ...['^a|b$', '^abc$', 'a??b*?', '(a{1,70}b)?c', '[]|a', '[^]', '\\/\\.\\^', 'x{0}a'],
];
const letters = [
  'a',
  'b',
  'c',
  'ab',
  '1',
  '234',
  '-',
  '@',
  '.com',
  ' ',
  'é',
  '😀',
  '😂',
  'A',
  '\n',
  '/.^',
  'aaa',
  'aaaabc',
];

describe('regular expressions', () => {
  it('accept what JavaScript accepts as a whole text', async () => {
    const random = seeded(1);
    let matched = 0;
    for (const pattern of patterns) {
      const grammar = await compiled({ type: 'regex', pattern });
      const expression = new RegExp(`^(?:${pattern.replace(/^\^|\$$/g, '')})$`, 'u');
      for (let i = 0; i < 60; i++) {
        const text = Array.from(
          { length: Math.floor(random() * 5) },
          () => letters[Math.floor(random() * letters.length)],
        ).join('');
        expect(accepts(grammar, text), `${pattern} on '${text}'`).toBe(expression.test(text));
        if (expression.test(text)) matched++;
      }
    }
    expect(matched).toBeGreaterThan(100);
  });

  it('give texts that match, and end in time', async () => {
    const random = seeded(2);
    for (const pattern of patterns) {
      const grammar = await compiled({ type: 'regex', pattern });
      const expression = new RegExp(`^(?:${pattern.replace(/^\^|\$$/g, '')})$`, 'u');
      for (let i = 0; i < 10; i++) expect(drawn(grammar, random, 24), pattern).toMatch(expression);
    }
  });

  it.each([
    ['(?=a)b', 'lookahead'],
    ['(?<!a)b', 'lookbehind'],
    ['(a)\\1', 'backreference'],
    ['\\k<x>', 'backreference'],
    ['a\\bb', 'word boundary'],
    ['a^b', 'anchor'],
    ['(a$)b', 'anchor'],
    ['a**', 'quantifier'],
    ['(a', 'without its )'],
    ['a)', 'without its ('],
    ['[a', 'without its ]'],
    ['[b-a]', 'in order'],
    ['a{2,1}', 'out of order'],
    ['\\p{Nothing}', 'unknown property'],
    ['\\q', 'unknown escape'],
  ])('refuse %s: %s', async (pattern, problem) => {
    await expect(compiled({ type: 'regex', pattern })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(problem),
    });
  });

  it('stay within budgets', async () => {
    for (const pattern of ['(((a{1000}){1000}){300})', `${'('.repeat(300)}a${')'.repeat(300)}`]) {
      await expect(compiled({ type: 'regex', pattern })).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    }
  });
});

describe('GBNF', () => {
  const arithmetic = `# sums
root  ::= sum "\\n"?
sum   ::= term (("+" | "-") term)*
term  ::= [0-9]{1,3} | "(" sum ")"
        | [^-0-9()+\\n]`;

  it('accepts the texts of a recursive grammar', async () => {
    const grammar = await compiled({ type: 'grammar', grammar: arithmetic });
    for (const text of ['1', '1+22-333', '((1)+x)', '(1-(2+(3)))\n'])
      expect(accepts(grammar, text), text).toBe(true);
    for (const text of ['', '1+', '(1', '1)', '1234', '1\n\n', '((1)'])
      expect(accepts(grammar, text), text).toBe(false);
    for (let i = 0; i < 20; i++) expect(accepts(grammar, drawn(grammar, seeded(i), 20))).toBe(true);
  });

  it.each([
    ['root ::= a', 'does not have, a (line 1'],
    ['x ::= "a"', 'no rule root'],
    ['root ::= "a"\nroot ::= "b"', 'twice (line 2, column 1)'],
    ['root ::= "a', 'no closing "'],
    ['root = "a"', 'without ::='],
    ['root ::= ("a"', 'without its )'],
    ['root ::= root "a" | "b"', 'left recursion'],
    ['root ::= "a" root', 'matches no text'],
    ['root ::= "a" ]', 'no part of a rule'],
  ])('refuses %s', async (grammar, problem) => {
    await expect(compiled({ type: 'grammar', grammar })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining(problem),
    });
  });
});
