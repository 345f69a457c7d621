/** Numbers between bounds, as text without exponents: compared with the bound digit by digit. */
import type { GrammarBuilder, Node } from './grammar.js';
import type { JsonText } from './json-text.js';

export interface Bound {
  value: number;
  exclusive: boolean;
}

export interface NumberRange {
  least?: Bound;
  most?: Bound;
  integer: boolean;
}

/** A bound's digits: those before the point, and those behind it without zeros at the end. */
interface Decimal {
  whole: string;
  fraction: string;
}

const mostDigits = 21;
/** So many digits are told apart by float64. */
const exactDigits = 15;

/** Of a number from 0 on; exact, as JavaScript writes it. */
function decimalOf(value: number): Decimal {
  const [, digits, exponent] = /^([\d.]+)(?:e([+-]\d+))?$/.exec(String(value)) as RegExpExecArray;
  const [whole, fraction = ''] = digits.split('.');
  const shift = Number(exponent ?? 0);
  const all = whole + fraction;
  const point = whole.length + shift;
  const padded = point < 0 ? '0'.repeat(-point) + all : all.padEnd(point, '0');
  const at = Math.max(0, point);
  return {
    whole: padded.slice(0, at).replace(/^0+(?=\d)/, '') || '0',
    fraction: padded.slice(at).replace(/0+$/, ''),
  };
}

export class NumberRanges {
  readonly #builder: GrammarBuilder;

  constructor(readonly text: JsonText) {
    this.#builder = text.builder;
  }

  /** Nothing where the range is empty. */
  node({ least, most, integer }: NumberRange): Node {
    const builder = this.#builder;
    const signed: Node[] = [];
    // From 0 on.
    if (!most || most.value > 0 || (most.value === 0 && !most.exclusive))
      signed.push(this.#magnitude(least && least.value >= 0 ? least : undefined, most, integer));
    // -m, where -most <= m <= -least and m is above 0.
    if (!least || least.value < 0) {
      const low = most && most.value < 0 ? { ...most, value: -most.value } : { value: 0, exclusive: true };
      const high = least && { ...least, value: -least.value };
      signed.push(builder.sequence([builder.literal('-'), this.#magnitude(low, high, integer)]));
    }
    return builder.choice(signed);
  }

  #magnitude(least: Bound | undefined, most: Bound | undefined, integer: boolean): Node {
    const builder = this.#builder;
    const strict = least?.exclusive || most?.exclusive;
    const whole = Math.max(
      ...[least, most].map((bound) => (bound ? decimalOf(bound.value).whole.length : 1)),
    );
    // A text just beyond an exclusive bound must not be rounded to it.
    const decimals = strict ? exactDigits - whole : undefined;
    const fractional = !integer && (decimals === undefined || decimals > 0);
    const all = [
      builder.sequence(
        fractional
          ? [this.text.natural(), builder.optional(this.text.fraction(decimals))]
          : [this.text.natural()],
      ),
    ];
    if (least) all.push(this.#beyond(least, 1));
    if (most) all.push(this.#beyond(most, -1));
    return builder.intersect(all);
  }

  /** Numbers from a bound up (1) or down (-1). */
  #beyond({ value, exclusive }: Bound, sign: 1 | -1): Node {
    const builder = this.#builder;
    const { whole, fraction } = decimalOf(value);
    const anyFraction = builder.optional(this.text.fraction());
    const same = builder.literal(whole);
    const choices = [
      ...this.#otherDigits(whole, sign, true).map((digits) => builder.sequence([digits, anyFraction])),
      ...this.#fractions(fraction, sign, exclusive).map((rest) => builder.sequence([same, rest])),
    ];
    if (sign === 1) {
      const longer = [builder.chars([[0x31, 0x39]]), this.text.digits(whole.length, mostDigits), anyFraction];
      choices.push(builder.sequence(longer));
    } else if (whole.length > 1) {
      const shorter = [builder.chars([[0x31, 0x39]]), this.text.digits(0, whole.length - 2)];
      const natural = builder.choice([builder.literal('0'), builder.sequence(shorter)]);
      choices.push(builder.sequence([natural, anyFraction]));
    }
    return builder.choice(choices);
  }

  /** Digits of the same number that first differ upwards or downwards; `leading`: no 0 in front of others. */
  #otherDigits(digits: string, sign: 1 | -1, leading: boolean): Node[] {
    const builder = this.#builder;
    const found: Node[] = [];
    for (let i = 0; i < digits.length; i++) {
      const code = digits.charCodeAt(i);
      const zero = leading && i === 0 && digits.length > 1 ? 0x31 : 0x30;
      const [from, to] = sign === 1 ? [code + 1, 0x39] : [zero, code - 1];
      if (from > to) continue;
      const rest = digits.length - i - 1;
      const tail = leading ? this.text.digits(rest, rest) : this.text.digits(0, 25);
      found.push(builder.sequence([builder.literal(digits.slice(0, i)), builder.chars([[from, to]]), tail]));
    }
    return found;
  }

  /** What may follow the bound's whole digits. */
  #fractions(digits: string, sign: 1 | -1, exclusive: boolean): Node[] {
    const builder = this.#builder;
    const point = builder.literal('.');
    const found = this.#otherDigits(digits, sign, false).map((other) => builder.sequence([point, other]));
    const zeros = builder.repeat(builder.literal('0'), digits === '' ? 1 : 0, 25);
    const equal = builder.sequence([point, builder.literal(digits), zeros]);
    const nothing = builder.sequence([]);
    if (!exclusive) found.push(equal);
    if (digits === '') {
      if (!exclusive) found.push(nothing);
    } else if (sign === -1) {
      // Fewer digits of it are less.
      found.push(nothing);
      for (let i = 1; i < digits.length; i++) found.push(builder.literal(`.${digits.slice(0, i)}`));
    }
    if (sign === 1) {
      const nonZero = [
        builder.repeat(builder.literal('0'), 0, 25),
        builder.chars([[0x31, 0x39]]),
        this.text.digits(0, 25),
      ];
      found.push(builder.sequence([point, builder.literal(digits), ...nonZero]));
    }
    return found;
  }
}
