/** Expressions, with the precedence of Jinja2: `-a ** b` is `(-a) ** b`, filters bind tighter than operators. */
import type { BinaryOperator } from './arithmetic.js';
import type { CallArguments, CompareOperator, Expression, Target } from './nodes.js';
import { parseFloatText, parseInteger } from './numbers.js';
import { Text } from './text.js';
import type { TokenStream } from './token-stream.js';
import type { Value } from './values.js';

const constants: Readonly<Record<string, Value>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

interface TupleRules {
  condition?: boolean;
  /** Names that end it. */
  ends?: readonly string[];
  /** `()` is one. */
  parentheses?: boolean;
}

export class ExpressionParser {
  /** Of the macros around: names that their bodies look at. */
  readonly macros: Set<string>[] = [];
  constructor(readonly stream: TokenStream) {}

  expression(condition = true): Expression {
    return this.stream.nested(() => (condition ? this.#condition() : this.#or()));
  }

  /** One expression, or several with commas between them. */
  tuple({ condition = true, ends = [], parentheses = false }: TupleRules = {}): Expression {
    const { stream } = this;
    const { line } = stream.current;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect('operator', ',');
      if (this.#endsTuple(ends)) break;
      items.push(this.expression(condition));
      if (!stream.is('operator', ',')) break;
      isTuple = true;
    }
    if (isTuple) return { kind: 'tuple', items, line };
    if (items.length > 0) return items[0]!;
    if (!parentheses) throw stream.fail(`Expected an expression, got ${stream.described}`);
    return { kind: 'tuple', items: [], line };
  }

  #endsTuple(ends: readonly string[]): boolean {
    const { stream } = this;
    if (stream.is('variable_end') || stream.is('block_end') || stream.is('operator', ')')) return true;
    return stream.isName(...ends);
  }

  #condition(): Expression {
    const { stream } = this;
    let result = this.#or();
    while (stream.skip('name', 'if')) {
      const test = this.#or();
      const otherwise = stream.skip('name', 'else') ? stream.nested(() => this.#condition()) : undefined;
      result = { kind: 'condition', test, held: result, otherwise, line: result.line };
    }
    return result;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.stream.skip('name', 'or')) left = { kind: 'or', left, right: this.#and(), line: left.line };
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.stream.skip('name', 'and')) left = { kind: 'and', left, right: this.#not(), line: left.line };
    return left;
  }

  #not(): Expression {
    if (!this.stream.isName('not')) return this.#compare();
    const { line } = this.stream.next();
    return { kind: 'not', operand: this.stream.nested(() => this.#not()), line };
  }

  #compare(): Expression {
    const { stream } = this;
    const first = this.#sum();
    const rest: { operator: CompareOperator; operand: Expression }[] = [];
    for (;;) {
      if (stream.isOperator('==', '!=', '<', '<=', '>', '>=')) {
        const operator = stream.next().text as CompareOperator;
        rest.push({ operator, operand: this.#sum() });
      } else if (stream.skip('name', 'in')) {
        rest.push({ operator: 'in', operand: this.#sum() });
      } else if (stream.isName('not') && stream.following.kind === 'name' && stream.following.text === 'in') {
        stream.next();
        stream.next();
        rest.push({ operator: 'not in', operand: this.#sum() });
      } else break;
    }
    return rest.length === 0 ? first : { kind: 'compare', first, rest, line: first.line };
  }

  #binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (this.stream.isOperator(...operators)) {
      const operator = this.stream.next();
      left = {
        kind: 'binary',
        operator: operator.text as BinaryOperator,
        left,
        right: operand(),
        line: operator.line,
      };
    }
    return left;
  }

  #sum(): Expression {
    return this.#binary(['+', '-'], () => this.#concat());
  }

  #concat(): Expression {
    const operands = [this.#product()];
    while (this.stream.skip('operator', '~')) operands.push(this.#product());
    return operands.length === 1 ? operands[0]! : { kind: 'concat', operands, line: operands[0]!.line };
  }

  #product(): Expression {
    return this.#binary(['*', '/', '//', '%'], () => this.#binary(['**'], () => this.#unary(true)));
  }

  #unary(filters: boolean): Expression {
    const { stream } = this;
    let node: Expression;
    if (stream.isOperator('-', '+')) {
      const sign = stream.next();
      const operand = stream.nested(() => this.#unary(false));
      node = { kind: sign.text === '-' ? 'negate' : 'plus', operand, line: sign.line };
    } else node = this.primary();
    node = this.#postfix(node);
    return filters ? this.#filters(node) : node;
  }

  primary(): Expression {
    const { stream } = this;
    const { kind, text, line } = stream.current;
    switch (kind) {
      case 'name':
        stream.next();
        if (Object.hasOwn(constants, text)) return { kind: 'constant', value: constants[text]!, line };
        for (const uses of this.macros) uses.add(text);
        return { kind: 'name', name: text, line };
      case 'string': {
        let whole = '';
        while (stream.is('string')) whole += stream.next().text;
        return { kind: 'constant', value: Text.of(whole), line };
      }
      case 'integer':
        stream.next();
        return { kind: 'constant', value: parseInteger(text, 0)!, line };
      case 'float':
        stream.next();
        return { kind: 'constant', value: parseFloatText(text)!, line };
      case 'operator':
        if (text === '(') {
          stream.next();
          const inner = stream.nested(() => this.tuple({ parentheses: true }));
          stream.expect('operator', ')');
          return inner;
        }
        if (text === '[')
          return { kind: 'list', items: this.#items('[', ']', () => this.expression()), line };
        if (text === '{') return { kind: 'dict', entries: this.#items('{', '}', () => this.#pair()), line };
    }
    throw stream.fail(`unexpected ${stream.described}`);
  }

  #items<T>(open: string, close: string, item: () => T): T[] {
    const { stream } = this;
    stream.expect('operator', open);
    const items: T[] = [];
    while (!stream.is('operator', close)) {
      if (items.length > 0) stream.expect('operator', ',');
      if (stream.is('operator', close)) break;
      items.push(item());
    }
    stream.expect('operator', close);
    return items;
  }

  #pair(): [Expression, Expression] {
    const key = this.expression();
    this.stream.expect('operator', ':');
    return [key, this.expression()];
  }

  #postfix(start: Expression): Expression {
    let node = start;
    while (this.stream.isOperator('.', '[', '(')) {
      node = this.stream.is('operator', '(') ? this.#call(node) : this.#subscript(node);
    }
    return node;
  }

  #filters(start: Expression): Expression {
    const { stream } = this;
    let node = start;
    for (;;) {
      if (stream.skip('operator', '|')) node = this.filter(node);
      else if (stream.isName('is')) node = this.#test(node);
      else if (stream.is('operator', '(')) node = this.#call(node);
      else return node;
    }
  }

  #call(callee: Expression): Expression {
    const { line } = this.stream.current;
    return { kind: 'call', callee, arguments: this.callArguments(), line };
  }

  #subscript(object: Expression): Expression {
    const { stream } = this;
    const { text, line } = stream.next();
    if (text === '.') {
      const name = stream.next();
      if (name.kind === 'name') return { kind: 'member', object, name: name.text, line };
      if (name.kind !== 'integer') throw stream.fail('expected name or number', name.line);
      const key: Expression = { kind: 'constant', value: parseInteger(name.text, 0)!, line };
      return { kind: 'subscript', object, key, line };
    }
    const keys: Expression[] = [];
    while (!stream.is('operator', ']')) {
      if (keys.length > 0) stream.expect('operator', ',');
      keys.push(this.#key());
    }
    stream.expect('operator', ']');
    const key: Expression = keys.length === 1 ? keys[0]! : { kind: 'tuple', items: keys, line };
    return { kind: 'subscript', object, key, line };
  }

  #key(): Expression {
    const { stream } = this;
    const { line } = stream.current;
    const start = stream.is('operator', ':') ? undefined : this.expression();
    if (start !== undefined && !stream.is('operator', ':')) return start;
    stream.expect('operator', ':');
    const bound = (): Expression | undefined =>
      stream.isOperator(':', ']', ',') ? undefined : this.expression();
    const stop = bound();
    const step = stream.skip('operator', ':') ? bound() : undefined;
    return { kind: 'slice', start, stop, step, line };
  }

  callArguments(): CallArguments {
    const { stream } = this;
    const { line } = stream.expect('operator', '(');
    const positional: Expression[] = [];
    const named: { name: string; value: Expression }[] = [];
    let list: Expression | undefined;
    let mapping: Expression | undefined;
    const ensure = (holds: boolean): void => {
      if (!holds) throw stream.fail('invalid syntax for function call expression', line);
    };
    for (let first = true; !stream.is('operator', ')'); first = false) {
      if (!first) {
        stream.expect('operator', ',');
        if (stream.is('operator', ')')) break;
      }
      if (stream.skip('operator', '*')) {
        ensure(list === undefined && mapping === undefined);
        list = this.expression();
      } else if (stream.skip('operator', '**')) {
        ensure(mapping === undefined);
        mapping = this.expression();
      } else if (stream.is('name') && stream.following.kind === 'operator' && stream.following.text === '=') {
        ensure(mapping === undefined);
        const name = stream.next().text;
        stream.next();
        named.push({ name, value: this.expression() });
      } else {
        ensure(list === undefined && mapping === undefined && named.length === 0);
        positional.push(this.expression());
      }
    }
    stream.expect('operator', ')');
    return { positional, named, list, mapping };
  }

  #dotted(): { name: string; line: number } {
    const { stream } = this;
    const first = stream.expect('name');
    let name = first.text;
    while (stream.skip('operator', '.')) name += `.${stream.expect('name').text}`;
    return { name, line: first.line };
  }

  /** Behind the `|`. */
  filter(input: Expression | undefined): Expression {
    const { name, line } = this.#dotted();
    const given = this.stream.is('operator', '(') ? this.callArguments() : { positional: [], named: [] };
    return { kind: 'filter', input, name, arguments: given, line };
  }

  /** `a | b | c` behind a tag. */
  filterChain(): Expression {
    let node = this.filter(undefined);
    while (this.stream.skip('operator', '|')) node = this.filter(node);
    return node;
  }

  #test(input: Expression): Expression {
    const { stream } = this;
    const { line } = stream.next();
    const negated = stream.skip('name', 'not');
    const { name } = this.#dotted();
    let given: CallArguments = { positional: [], named: [] };
    if (stream.is('operator', '(')) given = this.callArguments();
    else if (this.#beginsArgument()) {
      if (stream.isName('is')) throw stream.fail('You cannot chain multiple tests with is');
      given = { positional: [this.#postfix(this.primary())], named: [] };
    }
    const test: Expression = { kind: 'test', input, name, arguments: given, line };
    return negated ? { kind: 'not', operand: test, line } : test;
  }

  #beginsArgument(): boolean {
    const { kind } = this.stream.current;
    if (kind === 'name') return !this.stream.isName('else', 'or', 'and');
    return kind === 'string' || kind === 'integer' || kind === 'float' || this.stream.isOperator('[', '{');
  }

  /** What may stand left of `=` and behind `for`. */
  target(options: { ends?: readonly string[]; namespaces?: boolean } = {}): Target {
    const { stream } = this;
    const { line } = stream.current;
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect('operator', ',');
      if (this.#endsTuple(options.ends ?? [])) break;
      items.push(this.#oneTarget(options));
      if (!stream.is('operator', ',')) break;
      isTuple = true;
    }
    if (isTuple || items.length === 0) return { kind: 'tuple', items, line };
    return items[0]!;
  }

  #oneTarget(options: { namespaces?: boolean }): Target {
    const { stream } = this;
    const { line } = stream.current;
    if (stream.skip('operator', '(')) {
      const inner = stream.nested(() => this.target(options));
      stream.expect('operator', ')');
      return inner;
    }
    const name = stream.expect('name').text;
    if (Object.hasOwn(constants, name)) throw stream.fail(`can't assign to '${name}'`, line);
    if (options.namespaces && stream.skip('operator', '.')) {
      return { kind: 'field', namespace: name, name: stream.expect('name').text, line };
    }
    return { kind: 'name', name, line };
  }
}
