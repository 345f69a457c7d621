/** JSON with the numbers that Python's json module writes. */
import { describe, expect, it } from 'vitest';
import { parsePythonJson } from '../../lib/python-json.js';

describe('JSON of Python', () => {
  it('has numbers that JSON has not', () => {
    expect(parsePythonJson('{"a": NaN, "b": [Infinity, -Infinity], "c": 1}')).toEqual({
      a: Number.NaN,
      b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      c: 1,
    });
    expect(parsePythonJson(' NaN ')).toBeNaN();
  });

  it('has the same words in texts', () => {
    const text = String.raw`{"NaN": "Infinity", "q": "\"NaN\\", "n": NaN, "s": "-Infinity, NaN"}`;
    expect(parsePythonJson(text)).toEqual({
      NaN: 'Infinity',
      q: '"NaN\\',
      n: Number.NaN,
      s: '-Infinity, NaN',
    });
  });

  it.each(['{"a": NAN}', '{"a": +Infinity}', '{"a": NaN', 'nan', '{"a": -NaN}', '["a" NaN]', '', '"NaN'])(
    'is not %j',
    (text) => expect(() => parsePythonJson(text)).toThrow(SyntaxError),
  );

  // A pattern that tries each quotation mark to the end takes hours.
  it('is refused in linear time', () => {
    const started = performance.now();
    expect(() => parsePythonJson(`NaN "${'\\"'.repeat(2_000_000)}`)).toThrow(SyntaxError);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
