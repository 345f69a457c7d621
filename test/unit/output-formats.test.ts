/** Calls and thoughts of every family, however the output is cut: scripts of test/unit/tool-streams.ts. */
import { describe, expect, it } from 'vitest';
import { Answer } from '../../lib/output/answer.js';
import { OutputParser } from '../../lib/output/parser.js';
import type { OutputPiece } from '../../lib/output/pieces.js';
import { reasoningMarkers } from '../../lib/output/reasoning.js';
import { codedMarker } from '../../lib/output/special-text.js';
import { templateFormat } from '../../lib/output/style.js';
import { moreFamilies } from './tool-streams-more.js';
import { taggedFamilies } from './tool-streams-tags.js';
import { families as firstFamilies, type Family, type Script, tools } from './tool-streams.js';

const families = [...firstFamilies, ...moreFamilies, ...taggedFamilies];

/** A token: text, or what a special one spells. */
type Token = { text: string; special: string };

/** Special tokens whole, text in pieces. */
function tokensOf(output: string, specials: readonly string[], cut: (text: string) => string[]): Token[] {
  const tokens: Token[] = [];
  let rest = output;
  while (rest !== '') {
    const found = specials
      .map((special) => ({ special, at: rest.indexOf(special) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at || b.special.length - a.special.length)[0];
    const text = found === undefined ? rest : rest.slice(0, found.at);
    for (const piece of text === '' ? [] : cut(text)) tokens.push({ text: piece, special: '' });
    if (found === undefined) break;
    tokens.push({ text: '', special: found.special });
    rest = rest.slice(found.at + found.special.length);
  }
  return tokens;
}

function parserFor(
  family: Pick<Family, 'fragment' | 'specials'>,
  promptEnd = '',
  stops: string[] = [],
): OutputParser {
  let ids = 0;
  const answer = new Answer(
    stops,
    tools.map(({ name }) => name),
    () => `id${ids++}`,
  );
  const coded = (marker: string): string => codedMarker(marker, family.specials);
  const format = templateFormat(family.fragment, family.specials)?.make({
    coded,
    tools,
    marker: (marker) => [marker],
    tellsReasoning: true,
    promptEnd,
  });
  const markers = reasoningMarkers(family.fragment);
  const startsReasoning = markers !== undefined && promptEnd.trimEnd().endsWith(markers.open.trimEnd());
  const reasoning = markers && {
    open: coded(markers.open),
    close: coded(markers.close),
    ignored: markers.ignored?.map(coded),
  };
  return new OutputParser({ format, reasoning, startsReasoning, answer });
}

/** What the pieces say, put together. */
function together(pieces: readonly OutputPiece[]) {
  const calls: { id?: string; name?: string; arguments: string }[] = [];
  let text = '';
  let reasoning = '';
  for (const piece of pieces) {
    if (piece.type === 'tool-call') {
      const { index, id, name, arguments: more } = piece;
      if (id !== undefined) calls[index] = { id, name, arguments: more };
      else calls[index].arguments += more;
    } else if (piece.type === 'text') text += piece.text;
    else reasoning += piece.text;
  }
  return { text, reasoning, calls };
}

function parse(parser: OutputParser, tokens: readonly Token[]) {
  const pieces: OutputPiece[] = [];
  for (const { text, special } of tokens) pieces.push(...parser.push(text, special));
  pieces.push(...parser.flush(''));
  const { text, reasoning, calls } = parser.answer;
  const streamed = calls.map(({ id, name, argumentsText }) => ({ id, name, arguments: argumentsText }));
  // What was streamed is what the result says.
  expect(JSON.stringify(together(pieces))).toBe(JSON.stringify({ text, reasoning, calls: streamed }));
  return { text, reasoning, calls };
}

/** Every character by itself; at every place in two; at random. */
function cuts(output: string): ((text: string) => string[])[] {
  const random = (seed: number) => (text: string) => {
    const pieces: string[] = [];
    let state = seed;
    for (const character of text) {
      state = (state * 48271) % 2147483647;
      if (pieces.length === 0 || state % 4 === 0) pieces.push(character);
      else pieces[pieces.length - 1] += character;
    }
    return pieces;
  };
  const halves = Array.from(output, (_, at) => (text: string) => {
    const characters = [...text];
    return [characters.slice(0, at).join(''), characters.slice(at).join('')].filter((piece) => piece !== '');
  });
  return [(text) => [...text], (text) => [text], ...halves, ...[1, 2, 3, 4, 5, 6].map(random)];
}

function check(family: Family, script: Script): void {
  const expected = {
    text: script.text ?? '',
    reasoning: script.reasoning ?? '',
    calls: script.calls.map((call) => expect.objectContaining(call)),
  };
  const results = cuts(script.output).map((cut) =>
    parse(parserFor(family, script.promptEnd), tokensOf(script.output, family.specials, cut)),
  );
  expect(results[0]).toEqual(expected);
  expect(results[0].calls.filter(({ error }) => error !== undefined)).toEqual([]);
  // However it is cut: ids and arguments' text too.
  expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
}

describe.each(families)('$name', (family) => {
  it('is known by its markers', () => {
    expect(templateFormat(family.fragment, family.specials)?.name).toBe(family.name);
  });
  for (const script of family.scripts) it(script.what, () => check(family, script));
  it('reads the same where its markers are no special tokens', () => {
    for (const script of family.scripts) check({ ...family, specials: [] }, script);
  });
});

describe('damaged output', () => {
  const hermes = {
    ...families.find(({ name }) => name === 'hermes')!,
    specials: ['<tool_call>', '</tool_call>'],
  };
  const read = (output: string, family: Pick<Family, 'fragment' | 'specials'> = hermes) => {
    const results = cuts(output).map((cut) =>
      parse(parserFor(family), tokensOf(output, family.specials, cut)),
    );
    expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
    return results[0];
  };
  const call = '{"name": "say", "arguments": {"text": "x"}}';

  it.each([
    ['no JSON', '<tool_call>say("x")</tool_call> Yes.'],
    ['no name', '<tool_call>{"arguments": {"text": "x"}}</tool_call>'],
    ['a name that is no string', '<tool_call>{"name": 5, "arguments": {}}</tool_call>'],
    ['an end before the name', '<tool_call>{"nam'],
    ['nothing', '<tool_call></tool_call>'],
  ])('%s: it is text, without the tokens', (_what, output) => {
    const { text, calls } = read(output);
    expect(calls).toEqual([]);
    expect(text.trim()).toBe(output.replaceAll(/<\/?tool_call>/g, '').trim());
  });

  it.each([
    [
      'a hole in the arguments',
      '{"name": "say", "arguments": {"text": }}',
      '{"text": }}',
      'The arguments are no JSON.',
    ],
    [
      'words for JSON',
      '{"name": "say", "arguments": {"text": True}}',
      '{"text": True}}',
      'The arguments are no JSON.',
    ],
    ['a list', '{"name": "say", "arguments": [1]}', '[1]', 'The arguments are no JSON object.'],
    ['a number', '{"name": "say", "arguments": 1}', '1', 'The arguments are no JSON object.'],
    ['text for arguments', '{"name": "say", "arguments": "x"}', 'x', 'The arguments are no JSON.'],
    ['a second name', '{"name": "say", "arguments": {}, "name": "say"}', '{}}', 'The call has two names.'],
  ])('%s: the call says so, and the next one is read', (_what, damaged, argumentsText, error) => {
    const { calls, text } = read(`<tool_call>${damaged}</tool_call><tool_call>${call}</tool_call>`);
    expect(calls).toMatchObject([
      { name: 'say', arguments: {}, argumentsText, error },
      { arguments: { text: 'x' } },
    ]);
    expect(calls[1].error).toBeUndefined();
    expect(text).toBe('');
  });

  it('an end in the middle, and a call that begins in the middle of another', () => {
    expect(read('<tool_call>{"name": "say", "arguments": {"text": "a').calls).toMatchObject([
      { argumentsText: '{"text": "a', error: 'The call was cut off.' },
    ]);
    const { calls } = read(
      `<tool_call>{"name": "say", "arguments": {"text": "a<tool_call>${call}</tool_call>`,
    );
    expect(calls).toMatchObject([
      { argumentsText: '{"text": "a', arguments: {} },
      { arguments: { text: 'x' } },
    ]);
    expect(calls[0].error).toBeDefined();
  });

  it('line ends in strings, which JSON forbids, are escaped', () => {
    const { calls } = read('<tool_call>{"name": "say", "arguments": {"text": "a\n\tb"}}</tool_call>');
    expect(calls).toMatchObject([{ arguments: { text: 'a\n\tb' }, argumentsText: '{"text": "a\\n\\tb"}' }]);
  });

  it('markers that are tokens are no markers where they are only spelled', () => {
    const family = { ...hermes, specials: ['<tool_call>', '</tool_call>'] };
    const parser = parserFor(family);
    const pieces = [...parser.push(`<tool_call>${call}</tool_call>`, ''), ...parser.flush('')];
    expect(together(pieces)).toMatchObject({ text: `<tool_call>${call}</tool_call>`, calls: [] });
  });

  it('nesting beyond all use does not end the process', () => {
    const deep = `{"name": "say", "arguments": {"text": ${'['.repeat(100_000)}`;
    const parser = parserFor(hermes);
    parser.push('', '<tool_call>');
    parser.push(deep, '');
    parser.flush('');
    expect(parser.answer.calls[0].error).toBeDefined();
  });
});
