/** Whether a text is one JSON value, character by character: it ends where the value does, and at the first wrong character. */

type State =
  | 'value'
  | 'item'
  | 'name'
  | 'member'
  | 'colon'
  | 'after'
  | 'string'
  | 'escape'
  | 'scalar'
  | 'done'
  | 'damaged';

const scalars = /^(-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?|true|false|null)$/;
const mostNested = 512;

export class JsonSyntax {
  #state: State = 'value';
  /** What is open: '{' or '['. */
  readonly #open: string[] = [];
  #scalar = '';
  /** The string that is read names a member. */
  #isName = false;
  /** Hexadecimal digits that an escape still needs. */
  #digits = 0;

  get done(): boolean {
    return this.#state === 'done';
  }

  get damaged(): boolean {
    return this.#state === 'damaged';
  }

  /**
   * The next character, as JSON has it: a control character in a string, which models write and JSON forbids, is escaped.
   * undefined: it is no part of the value, which is over or damaged now.
   */
  push(character: string): string | undefined {
    switch (this.#state) {
      case 'string':
        return this.#inString(character);
      case 'escape':
        return this.#escaped(character);
      case 'scalar':
        if (/[-+.\w]/.test(character)) {
          this.#scalar += character;
          return character;
        }
        this.#endScalar();
        return this.done || this.damaged ? undefined : this.push(character);
      case 'done':
      case 'damaged':
        return undefined;
      default:
        return this.#between(character);
    }
  }

  /** The text is over: whether it was a whole value. */
  end(): boolean {
    if (this.#state === 'scalar') this.#endScalar();
    return this.done;
  }

  #inString(character: string): string {
    if (character === '"') {
      if (this.#isName) this.#state = 'colon';
      else this.#endValue();
    } else if (character === '\\') {
      this.#state = 'escape';
      this.#digits = 0;
    } else if (character < ' ') {
      return JSON.stringify(character).slice(1, -1);
    }
    return character;
  }

  #escaped(character: string): string | undefined {
    if (this.#digits > 0) {
      if (!/[\da-fA-F]/.test(character)) return this.#fail();
      this.#digits--;
    } else if (character === 'u') {
      this.#digits = 4;
    } else if (!'"\\/bfnrt'.includes(character)) {
      return this.#fail();
    }
    if (this.#digits === 0) this.#state = 'string';
    return character;
  }

  #between(character: string): string | undefined {
    if (/[ \t\r\n]/.test(character)) return character;
    const state = this.#state;
    if (state === 'value' || state === 'item') return this.#value(character, state === 'item');
    if (state === 'colon') {
      if (character !== ':') return this.#fail();
      this.#state = 'value';
    } else if (state === 'after') {
      if (character === ',') this.#state = this.#open.at(-1) === '{' ? 'member' : 'value';
      else return this.#close(character);
    } else if (character === '"') {
      this.#isName = true;
      this.#state = 'string';
    } else if (state === 'name') {
      return this.#close(character);
    } else {
      return this.#fail();
    }
    return character;
  }

  #value(character: string, mayClose: boolean): string | undefined {
    if (character === '{' || character === '[') {
      if (this.#open.length === mostNested) return this.#fail();
      this.#open.push(character);
      this.#state = character === '{' ? 'name' : 'item';
    } else if (character === '"') {
      this.#isName = false;
      this.#state = 'string';
    } else if (character === ']' && mayClose) {
      return this.#close(character);
    } else if (/[-\w]/.test(character)) {
      this.#scalar = character;
      this.#state = 'scalar';
    } else {
      return this.#fail();
    }
    return character;
  }

  #close(character: string): string | undefined {
    if (character !== (this.#open.at(-1) === '{' ? '}' : ']')) return this.#fail();
    this.#open.pop();
    this.#endValue();
    return character;
  }

  #endScalar(): void {
    if (scalars.test(this.#scalar)) this.#endValue();
    else this.#state = 'damaged';
  }

  #endValue(): void {
    this.#state = this.#open.length === 0 ? 'done' : 'after';
  }

  #fail(): undefined {
    this.#state = 'damaged';
    return undefined;
  }
}
