/** Calls of tools as a grammar: what a format writes around them, and arguments as the tools' schemas have them. */
import { isKvasirError, KvasirError } from '../errors.js';
import type { CallPart, CallSyntax, CallTask, ToolTask } from './answer-shape.js';
import type { FreeText } from './free-text.js';
import type { Node } from './grammar.js';
import { JsonText } from './json-text.js';
import { SchemaCompiler } from './schema-compiler.js';
import { SchemaDocument } from './schema-document.js';
import { taggedArguments } from './tagged-arguments.js';

/** Tags begin with it: inside of them JSON has it escaped. */
const tagStart = [[0x3c, 0x3c]] as const;

export class CallGrammar {
  readonly #text: FreeText;
  readonly #syntax: CallSyntax;
  readonly #json: JsonText;
  /** Rules, one a tool. */
  readonly #calls: readonly Node[];

  /** Throws INVALID_OPTION for a strict tool that cannot be enforced, LIMIT_EXCEEDED. */
  constructor(text: FreeText, { syntax, tools }: CallTask) {
    this.#text = text;
    this.#syntax = syntax;
    this.#json = new JsonText(text.builder, syntax.arguments === 'json' ? [] : tagStart);
    this.#calls = tools.map((tool) => {
      const rule = text.builder.declare(true);
      text.builder.define(rule, this.#call(tool));
      return text.builder.rule(rule);
    });
  }

  /** Behind an opener. */
  section(): Node {
    const { builder } = this.#text;
    return builder.sequence([this.#parts(this.#syntax.lead), this.bare(), this.#parts(this.#syntax.end)]);
  }

  /** One call or several, without what stands around them. */
  bare(): Node {
    const { builder } = this.#text;
    const call = builder.choice(this.#calls);
    const { between } = this.#syntax;
    if (between === undefined) return call;
    return builder.sequence([call, builder.repeat(builder.sequence([this.#parts(between), call]), 0)]);
  }

  /** How an answer that begins with a call begins. */
  bareBeginning(names: readonly string[]): Node {
    const { builder } = this.#text;
    const parts = this.#syntax.call.slice(0, this.#syntax.call.indexOf('name'));
    const name = builder.choice(names.map((one) => builder.literal(`${one}"`)));
    return builder.sequence([this.#parts(parts), name]);
  }

  #call(tool: ToolTask): Node {
    const parts: Node[] = [];
    for (const part of this.#syntax.call) {
      if (part === 'name') parts.push(this.#text.builder.literal(tool.name));
      else if (part !== 'arguments') parts.push(this.#part(part));
      else {
        const given = this.#arguments(tool);
        // Nobody knows where it ends.
        if (given === undefined) return this.#text.builder.sequence([...parts, this.#text.any()]);
        parts.push(given);
      }
    }
    return this.#text.builder.sequence(parts);
  }

  /** undefined: the model is free. */
  #arguments(tool: ToolTask): Node | undefined {
    const { arguments: kind } = this.#syntax;
    if (kind === 'unknown') {
      if (tool.strict)
        throw toolError(
          tool,
          "cannot be strict: the format of the model's chat template has a notation of its own for values",
        );
      return undefined;
    }
    if (tool.strict === false) return undefined;
    try {
      const document = new SchemaDocument(tool.parameters, 'The schema');
      const compiler = new SchemaCompiler(this.#text.builder, document, this.#json);
      if (kind !== 'json') return taggedArguments(this.#text, compiler, kind);
      return compiler.node([
        { schema: document.root, path: '#' },
        { schema: { type: 'object' }, path: '#' },
      ]);
    } catch (error) {
      if (!isKvasirError(error)) throw error;
      if (tool.strict) throw toolError(tool, `is strict. ${error.message}`, error);
      return kind === 'json' ? anyObject(this.#json) : undefined;
    }
  }

  #parts(parts: readonly CallPart[]): Node {
    return this.#text.builder.sequence(
      parts.map((part) => this.#part(part as Exclude<CallPart, 'name' | 'arguments'>)),
    );
  }

  #part(part: Exclude<CallPart, 'name' | 'arguments'>): Node {
    const { builder } = this.#text;
    if (part === 'space') return this.#text.space();
    if (part === 'number') return builder.repeat(builder.chars([[0x30, 0x39]]), 1, 4);
    return builder.sequence(
      part.map((piece) => (typeof piece === 'number' ? builder.token(piece) : this.#loose(piece))),
    );
  }

  /** JSON's marks with or without the space behind them. */
  #loose(piece: string): Node {
    const { builder } = this.#text;
    const [first, ...rest] = piece.split(/(?<=":|",|\},) /);
    const space = builder.optional(builder.literal(' '));
    return builder.sequence([
      builder.literal(first),
      ...rest.flatMap((one) => [space, builder.literal(one)]),
    ]);
  }
}

function toolError({ name }: ToolTask, problem: string, cause?: KvasirError): KvasirError {
  const code = cause?.code ?? 'INVALID_OPTION';
  return new KvasirError(code, `The tool '${name.slice(0, 100)}' ${problem}`, {
    details: { option: 'tools', ...(cause?.details as object | undefined) },
    cause,
  });
}

function anyObject(text: JsonText): Node {
  const { builder } = text;
  const member = text.member(text.string(), text.value());
  const more = builder.repeat(builder.sequence([text.mark(','), member]), 0);
  const members = builder.optional(builder.sequence([member, more]));
  return builder.sequence([builder.literal('{'), members, builder.literal('}')]);
}
