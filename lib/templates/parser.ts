/** Statements of a template. Refuses what needs other templates (include, import, extends, block). */
import { ExpressionParser } from './expression-parser.js';
import { TemplateFailure } from './failure.js';
import { tokenize } from './lexer.js';
import type { Expression, MacroBody, Parameter, Statement } from './nodes.js';
import { Text } from './text.js';
import { TokenStream } from './token-stream.js';

const elsewhere = ['include', 'import', 'from', 'extends', 'block', 'autoescape'];

/** Throws TemplateFailure with its line. */
export function parseTemplate(source: string): readonly Statement[] {
  const parser = new Parser(new TokenStream(tokenize(source)));
  return parser.body();
}

class Parser {
  readonly #expressions: ExpressionParser;
  /** Loops around, up to the next macro. */
  #loops = 0;

  constructor(readonly stream: TokenStream) {
    this.#expressions = new ExpressionParser(stream);
  }

  /** Statements up to one of the names, which is not taken; without names: up to the end. */
  body(...ends: string[]): Statement[] {
    const { stream } = this;
    const statements: Statement[] = [];
    while (!stream.is('eof')) {
      const { kind, text, line } = stream.current;
      if (kind === 'data') {
        stream.next();
        statements.push({ kind: 'output', parts: [Text.of(text)], line });
      } else if (kind === 'variable_begin') {
        stream.next();
        statements.push({ kind: 'output', parts: [this.#expressions.tuple()], line });
        stream.expect('variable_end');
      } else {
        stream.next();
        if (stream.isName(...ends)) return statements;
        statements.push(stream.nested(() => this.#statement()));
        stream.expect('block_end');
      }
    }
    if (ends.length > 0) throw stream.fail(`the template ends; it lacks '${ends.at(-1)}'`);
    return statements;
  }

  /** The body of a block, behind its tag; which name ended it. */
  #block(...ends: string[]): Statement[] {
    this.stream.skip('operator', ':');
    this.stream.expect('block_end');
    return this.body(...ends);
  }

  #closed(end: string): Statement[] {
    const body = this.#block(end);
    this.stream.next();
    return body;
  }

  #statement(): Statement {
    const { stream } = this;
    const { text, line } = stream.expect('name');
    switch (text) {
      case 'for':
        return this.#for(line);
      case 'if':
        return this.#if(line);
      case 'set':
        return this.#set(line);
      case 'with':
        return this.#with(line);
      case 'macro':
        return this.#macro(line);
      case 'call':
        return this.#callBlock(line);
      case 'print':
        return this.#print(line);
      case 'filter': {
        const filter = this.#expressions.filterChain();
        return { kind: 'filter block', filter, body: this.#closed('endfilter'), line };
      }
      case 'generation':
        return { kind: 'generation', body: this.#apart(() => this.#closed('endgeneration')), line };
      case 'break':
      case 'continue':
        if (this.#loops === 0) throw stream.fail(`'${text}' outside of a loop`, line);
        return { kind: text, line };
    }
    if (elsewhere.includes(text)) {
      throw new TemplateFailure('Unsupported', `the tag '${text}' is not supported`, line);
    }
    throw stream.fail(`Encountered unknown tag '${text}'`, line);
  }

  /** A body that no break leaves. */
  #apart<T>(rule: () => T): T {
    const loops = this.#loops;
    this.#loops = 0;
    const result = rule();
    this.#loops = loops;
    return result;
  }

  #for(line: number): Statement {
    const { stream } = this;
    const target = this.#expressions.target({ ends: ['in'] });
    stream.expect('name', 'in');
    const over = this.#expressions.tuple({ condition: false, ends: ['recursive'] });
    const filter = stream.skip('name', 'if') ? this.#expressions.expression() : undefined;
    const recursive = stream.skip('name', 'recursive');
    this.#loops++;
    const body = this.#block('else', 'endfor');
    this.#loops--;
    const otherwise = stream.next().text === 'else' ? this.#closed('endfor') : [];
    return { kind: 'for', target, over, filter, recursive, body, otherwise, line };
  }

  #if(line: number): Statement {
    const { stream } = this;
    const branches: { test: Expression; body: Statement[] }[] = [];
    let otherwise: Statement[] = [];
    for (;;) {
      const test = this.#expressions.tuple({ condition: false });
      branches.push({ test, body: this.#block('elif', 'else', 'endif') });
      const { text } = stream.next();
      if (text === 'elif') continue;
      if (text === 'else') otherwise = this.#closed('endif');
      return { kind: 'if', branches, otherwise, line };
    }
  }

  #set(line: number): Statement {
    const { stream } = this;
    const target = this.#expressions.target({ namespaces: true });
    if (stream.skip('operator', '=')) {
      return { kind: 'set', target, value: this.#expressions.tuple(), line };
    }
    const filter = stream.skip('operator', '|') ? this.#expressions.filterChain() : undefined;
    return { kind: 'set block', target, filter, body: this.#closed('endset'), line };
  }

  #with(line: number): Statement {
    const { stream } = this;
    const bindings: Extract<Statement, { kind: 'with' }>['bindings'][number][] = [];
    while (!stream.is('block_end')) {
      if (bindings.length > 0) stream.expect('operator', ',');
      const target = this.#expressions.target({ ends: [] });
      stream.expect('operator', '=');
      bindings.push({ target, value: this.#expressions.expression() });
    }
    return { kind: 'with', bindings, body: this.#closed('endwith'), line };
  }

  #parameters(): Parameter[] {
    const { stream } = this;
    const parameters: Parameter[] = [];
    stream.expect('operator', '(');
    while (!stream.is('operator', ')')) {
      if (parameters.length > 0) stream.expect('operator', ',');
      const name = stream.expect('name').text;
      if (stream.skip('operator', '=')) parameters.push({ name, absent: this.#expressions.expression() });
      else if (parameters.at(-1)?.absent) throw stream.fail('non-default argument follows default argument');
      else parameters.push({ name });
    }
    stream.expect('operator', ')');
    return parameters;
  }

  #macroBody(name: string, parameters: readonly Parameter[], end: string): MacroBody {
    const uses = new Set<string>();
    this.#expressions.macros.push(uses);
    const body = this.#apart(() => this.#closed(end));
    this.#expressions.macros.pop();
    return { name, parameters, body, uses };
  }

  #macro(line: number): Statement {
    const name = this.stream.expect('name').text;
    return { kind: 'macro', macro: this.#macroBody(name, this.#parameters(), 'endmacro'), line };
  }

  #callBlock(line: number): Statement {
    const parameters = this.stream.is('operator', '(') ? this.#parameters() : [];
    const call = this.#expressions.expression();
    if (call.kind !== 'call') throw this.stream.fail('expected call', line);
    return { kind: 'call block', call, caller: this.#macroBody('caller', parameters, 'endcall'), line };
  }

  #print(line: number): Statement {
    const parts: Expression[] = [];
    while (!this.stream.is('block_end')) {
      if (parts.length > 0) this.stream.expect('operator', ',');
      parts.push(this.#expressions.expression());
    }
    return { kind: 'output', parts, line };
  }
}
