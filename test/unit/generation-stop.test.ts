import { describe, expect, it } from 'vitest';
import { Random } from '../../lib/generation/random.js';
import { StopMatcher } from '../../lib/generation/stop.js';
import { TextOutput } from '../../lib/generation/text.js';

/** The text before the stop string that is complete first, character by character. */
function oracle(text: string, stops: string[]): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (ending.length === 0) continue;
    const longest = Math.max(...ending.map((stop) => stop.length));
    return { text: text.slice(0, end - longest), stopped: true };
  }
  return { text, stopped: false };
}

function feed(pieces: string[], stops: string[]): { text: string; stopped: boolean; released: string[] } {
  const matcher = new StopMatcher(stops);
  const released: string[] = [];
  for (const piece of pieces) released.push(matcher.push(piece));
  const stopped = matcher.stopped;
  released.push(matcher.flush());
  return { text: released.join(''), stopped, released };
}

describe('stop strings', () => {
  it('end the text wherever the pieces are cut', () => {
    const random = new Random(4);
    const letters = ['a', 'b', 'ä', '😀'];
    const word = (n: number) =>
      Array.from({ length: n }, () => letters[Math.floor(random.uniform() * letters.length)]).join('');
    let stoppedOften = 0;
    for (let round = 0; round < 2000; round++) {
      const text = word(30);
      const stops = Array.from({ length: 1 + Math.floor(random.uniform() * 3) }, () =>
        word(2 + Math.floor(random.uniform() * 5)),
      );
      const pieces: string[] = [];
      for (const character of text) {
        if (pieces.length > 0 && random.uniform() < 0.5) pieces.push((pieces.pop() as string) + character);
        else pieces.push(character);
      }
      const { text: got, stopped, released } = feed(pieces, stops);
      expect({ text: got, stopped }, `${text} | ${stops}`).toEqual(oracle(text, stops));
      for (const part of released) expect(part).not.toMatch(/\p{Surrogate}/u);
      if (stopped) stoppedOften++;
    }
    expect(stoppedOften).toBeGreaterThan(500);
    expect(stoppedOften).toBeLessThan(1900);
  });

  it('match what special tokens spell, which is no part of the text', () => {
    const feedTokens = (stop: string): string => {
      const matcher = new StopMatcher([stop]);
      const out = matcher.push('one', '<|a|>') + matcher.push(' two', '<|b|>') + matcher.push('', '<|c|>');
      return `${out}${matcher.push(' three')}${matcher.flush()}${matcher.stopped ? '!' : ''}`;
    };
    expect(feedTokens('never')).toBe('one two three');
    expect(feedTokens('<|a|>')).toBe('one!');
    expect(feedTokens('<|c|>')).toBe('one two!');
    expect(feedTokens('two<|b|>')).toBe('one !');
    expect(feedTokens('|> two<|b|><|c|> t')).toBe('one!');
    expect(feedTokens('<|b|> three')).toBe('one two three');
    expect(feedTokens('<|c|> thx')).toBe('one two three');
  });

  it('hold back no more than what may begin one', () => {
    const matcher = new StopMatcher(['</end>']);
    expect(matcher.push('one </')).toBe('one ');
    expect(matcher.push('b')).toBe('</b');
    expect(matcher.push('> two')).toBe('> two');
    expect(matcher.push(' <')).toBe(' ');
    expect(matcher.push('</en')).toBe('<');
    expect(matcher.push('d> three')).toBe('');
    expect(matcher.stopped).toBe(true);
    expect(matcher.push('four')).toBe('');
    expect(matcher.flush()).toBe('');
  });

  it('release what was held when the text ends', () => {
    expect(feed(['a', '\n'], ['\n\n'])).toMatchObject({ text: 'a\n', stopped: false });
    expect(feed(['a', '\n', '\nb'], ['\n\n'])).toMatchObject({ text: 'a', stopped: true });
  });

  it('end nothing while they wait, though one may begin there', () => {
    const fed = (pieces: [text: string, waits: boolean][], stops: string[]) => {
      const matcher = new StopMatcher(stops);
      const text = pieces.map(([piece, waits]) => matcher.push(piece, '', waits)).join('');
      return { text: text + matcher.flush(), stopped: matcher.stopped };
    };
    expect(
      fed(
        [
          ['one STOP tw', true],
          ['o STOP three', false],
        ],
        ['STOP'],
      ),
    ).toEqual({ text: 'one STOP two ', stopped: true });
    expect(
      fed(
        [
          ['one ST', true],
          ['OP two', false],
        ],
        ['STOP'],
      ),
    ).toEqual({ text: 'one ', stopped: true });
    expect(
      fed(
        [
          ['one ST', true],
          ['OP', true],
          [' two', false],
        ],
        ['STOP'],
      ),
    ).toEqual({ text: 'one STOP two', stopped: false });
    // 'ab' ended while it waited; 'xaby' goes on from there.
    expect(
      fed(
        [
          ['1xab', true],
          ['z', false],
        ],
        ['ab', 'xaby'],
      ),
    ).toEqual({ text: '1xabz', stopped: false });
    expect(
      fed(
        [
          ['1xab', true],
          ['y', false],
        ],
        ['ab', 'xaby'],
      ),
    ).toEqual({ text: '1', stopped: true });
  });

  it('match what the decoder releases only at its end', () => {
    const decoder = { push: () => '', unseen: () => '', flush: () => 'xSTOPy' };
    const output = new TextOutput(decoder, ['STOP']);
    expect(output.push(1)).toBe('');
    expect(output.flush()).toBe('x');
    expect(output.stopped).toBe(true);
  });
});
