// Hard texts for tokenizers: the same ones every time.

/** Numerical Recipes' linear congruence: the same strings every time. */
function randomOf(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const words =
  "the of and Hello hello WORLD naïve café it's It'S we'LL 'ſ ΣΑΣ İ ﬁ ½ Ⅳ ٣٤ 你好 日本語 カタ ひら 한국어 Привет שלום مرحبا हिन्दी ไทย function return self.x camelCase snake_case http://a.b/c 2024-01-02 3.14".split(
    ' ',
  );
const odd = [
  ' ',
  ' ',
  '  ',
  '    ',
  '\n',
  '\n\n',
  '\r\n',
  '\t',
  ' \n ',
  '\u00a0',
  '\u3000',
  '\u0085',
  '\ufeff',
  '\u200b',
  '\u2028',
  '\u0301',
  'e\u0301',
  '\u0327\u0301',
  '\u0000',
  '\u007f',
  '\ufffd',
  '👨\u200d👩\u200d👧',
  '🇩🇪',
  '😀',
  '𝐀',
  '\u2581',
  '\u2581\u2581',
  '...',
  '--',
  '(a)',
  '{',
  '}',
  '"',
  '#',
  '/',
  '<s>',
  '</s>',
  '<0x41>',
  '<|endoftext|>',
  '<|im_start|>',
  '<unk>',
];

/**
 * Words, oddities, and now and then any character at all.
 * @returns {string[]}
 */
export function randomStrings(count) {
  const random = randomOf(7);
  const any = () => {
    const point = [0x100, 0x800, 0x3000, 0x10000, 0x20000][random(5)];
    const chosen = random(point);
    return chosen >= 0xd800 && chosen < 0xe000 ? '\ud7ff' : String.fromCodePoint(chosen);
  };
  return Array.from({ length: count }, () => {
    let text = '';
    for (let n = 1 + random(12); n > 0; --n) {
      const kind = random(10);
      text += kind < 5 ? words[random(words.length)] : kind < 9 ? odd[random(odd.length)] : any();
    }
    return text;
  });
}
