/** The formats of strftime as Python gives them on Linux, in the C locale, for a local time without a zone. */

const days = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** A number and how it is filled up when no flag says otherwise. */
interface Field {
  value: number;
  width: number;
  fill: '0' | ' ';
}

const zeros = (value: number, width = 2): Field => ({ value, width, fill: '0' });
const blanks = (value: number): Field => ({ value, width: 2, fill: ' ' });

function dayOfYear(date: Date): number {
  const utc = (year: number, month: number, day: number): number => Date.UTC(2000 + (year % 400), month, day);
  const year = date.getFullYear();
  return Math.round((utc(year, date.getMonth(), date.getDate()) - utc(year, 0, 1)) / 86_400_000) + 1;
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** The week of the year whose first Thursday it holds. */
function isoWeek(date: Date): { year: number; week: number } {
  const year = date.getFullYear();
  const weekday = (date.getDay() + 6) % 7;
  const week = Math.floor((dayOfYear(date) - 1 - weekday + 10) / 7);
  if (week < 1) return { year: year - 1, week: weeksOf(year - 1) };
  return week > weeksOf(year) ? { year: year + 1, week: 1 } : { year, week };
}

function weeksOf(year: number): number {
  // A year has 53 weeks when it begins on a Thursday, or on a Wednesday and is a leap year.
  const first = new Date(2000, 0, 1);
  first.setFullYear(year);
  const weekday = (first.getDay() + 6) % 7;
  return weekday === 3 || (weekday === 2 && isLeap(year)) ? 53 : 52;
}

function numberField(format: string, date: Date): Field | undefined {
  const hour = date.getHours();
  const half = hour % 12 === 0 ? 12 : hour % 12;
  const day = date.getDay();
  switch (format) {
    case 'C':
      return zeros(Math.floor(date.getFullYear() / 100));
    case 'd':
      return zeros(date.getDate());
    case 'e':
      return blanks(date.getDate());
    case 'g':
      return zeros(isoWeek(date).year % 100);
    case 'G':
      return zeros(isoWeek(date).year, 1);
    case 'H':
      return zeros(hour);
    case 'I':
      return zeros(half);
    case 'j':
      return zeros(dayOfYear(date), 3);
    case 'k':
      return blanks(hour);
    case 'l':
      return blanks(half);
    case 'm':
      return zeros(date.getMonth() + 1);
    case 'M':
      return zeros(date.getMinutes());
    case 's':
      return zeros(Math.floor(date.getTime() / 1000), 1);
    case 'S':
      return zeros(date.getSeconds());
    case 'u':
      return zeros(day === 0 ? 7 : day, 1);
    case 'U':
      return zeros(Math.floor((dayOfYear(date) + 6 - day) / 7));
    case 'V':
      return zeros(isoWeek(date).week);
    case 'w':
      return zeros(day, 1);
    case 'W':
      return zeros(Math.floor((dayOfYear(date) + 6 - ((day + 6) % 7)) / 7));
    case 'y':
      return zeros(date.getFullYear() % 100);
    case 'Y':
      return zeros(date.getFullYear(), 1);
    default:
      return undefined;
  }
}

/** Formats made of others. */
const combined: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  r: '%I:%M:%S %p',
  R: '%H:%M',
  T: '%H:%M:%S',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
};

/** undefined: there is no such format. */
function textField(format: string, date: Date): string | undefined {
  switch (format) {
    case 'a':
      return days[date.getDay()]!.slice(0, 3);
    case 'A':
      return days[date.getDay()]!;
    case 'b':
    case 'h':
      return months[date.getMonth()]!.slice(0, 3);
    case 'B':
      return months[date.getMonth()]!;
    case 'p':
      return date.getHours() < 12 ? 'AM' : 'PM';
    case 'P':
      return date.getHours() < 12 ? 'am' : 'pm';
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case '%':
      return '%';
    default:
      return undefined;
  }
}

/** `%` flags width modifier format: flags `_ - 0 ^ #` as in the C library. */
const directive = /%([_0^#+-]*)(\d{0,3})([EO]?)([a-zA-Z%])/g;

export function strftime(format: string, date: Date): string {
  // Python itself writes microseconds and the zone, which a local time without one does not have.
  const own = format.replace(/%(.)/gs, (whole, letter: string) => {
    if (letter === 'f') return String(date.getMilliseconds() * 1000).padStart(6, '0');
    return letter === 'z' || letter === 'Z' ? '' : whole;
  });
  return own.replace(directive, (whole, flags: string, width: string, _modifier: string, letter: string) => {
    const number = numberField(letter, date);
    const fill = /[_0+-]/.exec([...flags].reverse().join(''))?.[0];
    if (number !== undefined) return fillNumber(number, fill, Number(width || 0));
    const text = combined[letter] === undefined ? textField(letter, date) : strftime(combined[letter], date);
    if (text === undefined) return whole;
    const cased = changeCase(text, letter, flags);
    return cased.padStart(Number(width || 0), fill === '0' || fill === '+' ? '0' : ' ');
  });
}

function fillNumber({ value, width, fill }: Field, flag: string | undefined, wanted: number): string {
  const digits = String(value);
  if (flag === '-') return digits;
  const filling = flag === '_' ? ' ' : flag === '0' || flag === '+' ? '0' : fill;
  return digits.padStart(wanted === 0 ? width : wanted, filling);
}

function changeCase(text: string, letter: string, flags: string): string {
  if (flags.includes('#') && letter === 'p') return text.toLowerCase();
  return /[\^#]/.test(flags) && letter !== 'P' ? text.toUpperCase() : text;
}
