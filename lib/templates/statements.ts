/** Runs the statements of a template. */
import type { Budget } from './budget.js';
import { TemplateFailure, valueError } from './failure.js';
import type { Expressions } from './expressions.js';
import { LoopState } from './loop-state.js';
import { Macro, type MacroArguments } from './macro.js';
import type { Expression, Loop, MacroBody, Statement, Target } from './nodes.js';
import { toText } from './printing.js';
import { Scope } from './scope.js';
import { Text, TextBuilder } from './text.js';
import { isTrue, iterate, Namespace, Undefined, type Value } from './values.js';

/** How a body was left. */
type Left = 'end' | 'break' | 'continue';

export class Statements {
  #output = new TextBuilder();

  constructor(
    readonly expressions: Expressions,
    readonly budget: Budget,
  ) {}

  /** What the statements print. */
  render(body: readonly Statement[], scope: Scope): Text {
    return this.#captured(body, scope);
  }

  #captured(body: readonly Statement[], scope: Scope): Text {
    const outer = this.#output;
    this.#output = new TextBuilder();
    this.#run(body, scope);
    const text = this.#output.finish();
    this.#output = outer;
    return text;
  }

  #print(text: Text): void {
    this.budget.text(text.value.length);
    this.#output.add(text);
  }

  #run(body: readonly Statement[], scope: Scope): Left {
    this.budget.enter();
    for (const statement of body) {
      this.budget.step();
      const left = this.#one(statement, scope);
      if (left !== 'end') {
        this.budget.leave();
        return left;
      }
    }
    this.budget.leave();
    return 'end';
  }

  #one(statement: Statement, scope: Scope): Left {
    const { expressions } = this;
    switch (statement.kind) {
      case 'output':
        for (const part of statement.parts) this.#part(part, scope);
        return 'end';
      case 'if':
        return this.#if(statement, scope);
      case 'for':
        this.#for(statement, scope, 0);
        return 'end';
      case 'set':
        this.#assign(statement.target, expressions.evaluate(statement.value, scope), scope);
        return 'end';
      case 'set block':
        this.#setBlock(statement, scope);
        return 'end';
      case 'with':
        return this.#with(statement, scope);
      case 'macro':
        scope.set(statement.macro.name, this.#macro(statement.macro, scope));
        return 'end';
      case 'call block':
        this.#callBlock(statement, scope);
        return 'end';
      case 'filter block': {
        const body = this.#captured(statement.body, new Scope(scope));
        this.#print(toText(this.#filtered(statement.filter, body, scope), this.budget));
        return 'end';
      }
      case 'generation':
        this.#print(this.#captured(statement.body, new Scope(scope)));
        return 'end';
      case 'break':
      case 'continue':
        return statement.kind;
    }
  }

  #part(part: Text | Expression, scope: Scope): void {
    if (part instanceof Text) {
      this.#print(part);
      return;
    }
    const value = this.expressions.evaluate(part, scope);
    this.expressions.at(part.line, '{{ }}');
    this.#print(toText(value, this.budget));
  }

  #if(statement: Extract<Statement, { kind: 'if' }>, scope: Scope): Left {
    for (const { test, body } of statement.branches) {
      if (isTrue(this.expressions.evaluate(test, scope))) return this.#run(body, scope);
    }
    return this.#run(statement.otherwise, scope);
  }

  #for(loop: Loop & { line: number }, scope: Scope, depth: number, given?: Value): void {
    const { expressions } = this;
    const over = given ?? expressions.evaluate(loop.over, scope);
    expressions.at(loop.line, 'for');
    const all = iterate(over, this.budget);
    const items = loop.filter === undefined ? all : all.filter((item) => this.#passes(loop, item, scope));
    const again = (inner: Value): Value => this.#nested(loop, scope, depth + 1, inner);
    const state = new LoopState(items, depth, this.budget, loop.recursive ? again : undefined);
    let left: Left = 'end';
    for (const item of items) {
      this.budget.step();
      state.index++;
      const inner = new Scope(scope);
      inner.set('loop', state);
      expressions.at(loop.line, 'for');
      this.#assign(loop.target, item, inner);
      left = this.#run(loop.body, inner);
      if (left === 'break') break;
    }
    if (items.length === 0) this.#run(loop.otherwise, new Scope(scope));
  }

  #passes(loop: Loop & { line: number }, item: Value, scope: Scope): boolean {
    const inner = new Scope(scope);
    this.#assign(loop.target, item, inner);
    return isTrue(this.expressions.evaluate(loop.filter!, inner));
  }

  /** What a recursive loop prints for inner items. */
  #nested(loop: Loop & { line: number }, scope: Scope, depth: number, items: Value): Value {
    const outer = this.#output;
    this.#output = new TextBuilder();
    this.#for(loop, scope, depth, items);
    const text = this.#output.finish();
    this.#output = outer;
    return text;
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.kind === 'name') {
      scope.set(target.name, value);
      return;
    }
    this.expressions.at(target.line, 'assignment');
    if (target.kind === 'field') {
      const namespace = this.expressions.name(target.namespace, scope);
      if (!(namespace instanceof Namespace)) {
        throw new TemplateFailure('TemplateRuntimeError', 'cannot assign attribute on non-namespace object');
      }
      checkFieldName(target.name);
      namespace.fields.set(target.name, value);
      return;
    }
    if (value instanceof Undefined)
      throw valueError(`not enough values to unpack (expected ${target.items.length}, got 0)`);
    const items = iterate(value, this.budget);
    if (items.length !== target.items.length) {
      const few = items.length < target.items.length;
      throw valueError(
        `${few ? 'not enough' : 'too many'} values to unpack (expected ${target.items.length}` +
          `${few ? `, got ${items.length}` : ''})`,
      );
    }
    for (const [i, inner] of target.items.entries()) this.#assign(inner, items[i]!, scope);
  }

  #filtered(filter: Expression, body: Text, scope: Scope): Value {
    if (filter.kind !== 'filter') return body;
    const input = filter.input === undefined ? body : this.#filtered(filter.input, body, scope);
    return this.expressions.filter(filter, input, scope);
  }

  #setBlock(statement: Extract<Statement, { kind: 'set block' }>, scope: Scope): void {
    const body = this.#captured(statement.body, new Scope(scope));
    const value = statement.filter ? this.#filtered(statement.filter, body, scope) : body;
    this.#assign(statement.target, value, scope);
  }

  #with(statement: Extract<Statement, { kind: 'with' }>, scope: Scope): Left {
    const inner = new Scope(scope);
    const values = statement.bindings.map(({ value }) => this.expressions.evaluate(value, scope));
    for (const [i, { target }] of statement.bindings.entries()) this.#assign(target, values[i]!, inner);
    return this.#run(statement.body, inner);
  }

  #callBlock(statement: Extract<Statement, { kind: 'call block' }>, scope: Scope): void {
    const { call } = statement;
    if (call.kind !== 'call') return;
    const value = this.expressions.call(call, scope, this.#macro(statement.caller, scope));
    this.#print(toText(value, this.budget));
  }

  #macro(macro: MacroBody, scope: Scope): Macro {
    return new Macro(macro, (given) => this.#invoke(macro, given, scope));
  }

  #invoke(macro: MacroBody, given: MacroArguments, scope: Scope): Value {
    const inner = new Scope(scope);
    macro.parameters.forEach(({ name, absent }, i) => {
      const value = given.parameters[i];
      if (value !== undefined) inner.set(name, value);
      else if (absent !== undefined) inner.set(name, this.expressions.evaluate(absent, inner));
      else inner.set(name, new Undefined(`parameter '${name}' was not provided`));
    });
    for (const [name, value] of given.extra) inner.set(name, value);
    return this.#captured(macro.body, inner);
  }
}

/** As the reference: nothing that begins with an underscore. */
export function checkFieldName(name: string): void {
  if (!name.startsWith('_')) return;
  throw new TemplateFailure('SecurityError', `a namespace cannot hold '${name}': rename the attribute`);
}
