/** Evaluates expressions. */
import { member, subscript } from './access.js';
import { concatenate, negate, numeric, operate } from './arithmetic.js';
import { contains, equal, ordered } from './comparing.js';
import { typeError } from './failure.js';
import type { CallArguments, CompareOperator, Expression } from './nodes.js';
import type { Runtime } from './runtime.js';
import type { Scope } from './scope.js';
import { Text } from './text.js';
import {
  type Arguments,
  Callable,
  Dict,
  isTrue,
  iterate,
  List,
  orElse,
  Slice,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js';

export class Expressions {
  /** What is done, for errors. */
  line = 1;
  construct = 'the template';

  constructor(
    readonly runtime: Runtime,
    readonly globals: ReadonlyMap<string, Value>,
  ) {}

  at(line: number, construct: string): void {
    this.line = line;
    this.construct = construct;
  }

  evaluate(node: Expression, scope: Scope): Value {
    const { budget } = this.runtime;
    budget.step();
    if (node.kind === 'constant') return node.value;
    if (node.kind === 'name') return this.name(node.name, scope);
    budget.enter();
    const value = this.#compound(node, scope);
    budget.leave();
    return value;
  }

  name(name: string, scope: Scope): Value {
    const found = scope.find(name);
    if (found !== undefined) return found;
    return orElse(this.globals.get(name), Undefined.named(name));
  }

  #compound(node: Expression, scope: Scope): Value {
    const { budget } = this.runtime;
    const one = (inner: Expression): Value => this.evaluate(inner, scope);
    switch (node.kind) {
      case 'constant':
        return node.value;
      case 'name':
        return this.name(node.name, scope);
      case 'list':
        return new List(node.items.map(one));
      case 'tuple':
        return new Tuple(node.items.map(one));
      case 'dict':
        return this.#dict(node, scope);
      case 'condition':
        return this.#condition(node, scope);
      case 'or': {
        const left = one(node.left);
        return isTrue(left) ? left : one(node.right);
      }
      case 'and': {
        const left = one(node.left);
        return isTrue(left) ? one(node.right) : left;
      }
      case 'not':
        return !isTrue(one(node.operand));
      case 'compare':
        return this.#compare(node, scope);
      case 'concat':
        return concatenate(node.operands.map(one), budget);
      case 'slice':
        return new Slice(
          node.start ? one(node.start) : null,
          node.stop ? one(node.stop) : null,
          node.step ? one(node.step) : null,
        );
      default:
        return this.#operation(node, scope);
    }
  }

  /** What may fail: says where it is. */
  #operation(node: Expression, scope: Scope): Value {
    const { budget } = this.runtime;
    const one = (inner: Expression): Value => this.evaluate(inner, scope);
    switch (node.kind) {
      case 'negate':
      case 'plus': {
        const operand = one(node.operand);
        this.at(node.line, `operator ${node.kind === 'negate' ? '-' : '+'}`);
        return node.kind === 'negate' ? negate(operand) : numeric(operand, '+');
      }
      case 'binary': {
        const [left, right] = [one(node.left), one(node.right)];
        this.at(node.line, `operator ${node.operator}`);
        return operate(node.operator, left, right, budget);
      }
      case 'member': {
        const object = one(node.object);
        this.at(node.line, `.${node.name}`);
        return member(object, node.name, budget);
      }
      case 'subscript': {
        const [object, key] = [one(node.object), one(node.key)];
        this.at(node.line, 'subscript');
        return subscript(object, key, budget);
      }
      case 'call':
        return this.call(node, scope);
      case 'filter':
        return this.filter(node, node.input ? one(node.input) : null, scope);
      case 'test': {
        const input = one(node.input);
        const given = this.#arguments(node.arguments, scope);
        this.at(node.line, `test '${node.name}'`);
        return this.runtime.test(node.name, input, given);
      }
      default:
        throw typeError(`an expression cannot be a ${node.kind}`);
    }
  }

  #dict(node: Extract<Expression, { kind: 'dict' }>, scope: Scope): Value {
    const entries = node.entries.map(([key, value]): [Value, Value] => [
      this.evaluate(key, scope),
      this.evaluate(value, scope),
    ]);
    this.at(node.line, 'mapping');
    return new Dict(entries);
  }

  #condition(node: Extract<Expression, { kind: 'condition' }>, scope: Scope): Value {
    if (isTrue(this.evaluate(node.test, scope))) return this.evaluate(node.held, scope);
    if (node.otherwise !== undefined) return this.evaluate(node.otherwise, scope);
    return new Undefined('the inline if-expression evaluated to false and no else section was defined.');
  }

  #compare(node: Extract<Expression, { kind: 'compare' }>, scope: Scope): Value {
    let left = this.evaluate(node.first, scope);
    for (const { operator, operand } of node.rest) {
      const right = this.evaluate(operand, scope);
      this.at(node.line, `operator ${operator}`);
      if (!this.#holds(operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  #holds(operator: CompareOperator, left: Value, right: Value): boolean {
    const { budget } = this.runtime;
    switch (operator) {
      case '==':
        return equal(left, right, budget);
      case '!=':
        return !equal(left, right, budget);
      case 'in':
        return contains(right, left, budget);
      case 'not in':
        return !contains(right, left, budget);
      default:
        return ordered(left, operator, right, budget);
    }
  }

  #arguments(given: CallArguments, scope: Scope): Arguments {
    const positional = given.positional.map((value) => this.evaluate(value, scope));
    const named = new Map<string, Value>();
    for (const { name, value } of given.named) named.set(name, this.evaluate(value, scope));
    if (given.list !== undefined) {
      for (const item of iterate(this.evaluate(given.list, scope), this.runtime.budget))
        positional.push(item);
    }
    if (given.mapping !== undefined) {
      const mapping = this.evaluate(given.mapping, scope);
      if (!(mapping instanceof Dict)) throw typeError('argument after ** must be a mapping');
      for (const [key, value] of mapping.entries) {
        if (!(key instanceof Text)) throw typeError('keywords must be strings');
        if (named.has(key.value)) throw typeError(`got multiple values for keyword argument '${key.value}'`);
        named.set(key.value, value);
      }
    }
    return { positional, named };
  }

  /** `caller`: the body of a call block. */
  call(node: Extract<Expression, { kind: 'call' }>, scope: Scope, caller?: Value): Value {
    const callee = this.evaluate(node.callee, scope);
    const given = this.#arguments(node.arguments, scope);
    if (caller !== undefined) (given.named as Map<string, Value>).set('caller', caller);
    const place = `call of ${calleeName(node.callee)}`;
    this.at(node.line, place);
    if (callee instanceof Undefined) throw callee.fail();
    if (!(callee instanceof Callable)) throw typeError(`'${typeName(callee)}' object is not callable`);
    this.runtime.budget.enter();
    const value = callee.call(given);
    this.runtime.budget.leave();
    return value;
  }

  filter(node: Extract<Expression, { kind: 'filter' }>, input: Value, scope: Scope): Value {
    const given = this.#arguments(node.arguments, scope);
    this.at(node.line, `filter '${node.name}'`);
    return this.runtime.filter(node.name, input, given);
  }
}

function calleeName(callee: Expression): string {
  if (callee.kind === 'name' || callee.kind === 'member') return callee.name;
  return 'a value';
}
