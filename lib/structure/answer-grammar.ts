/**
 * The grammar of a whole answer. Thoughts come first where the model has them; then what `responseFormat` asks for, calls of
 * tools, or text in which calls may stand. So a thought ends and a call is closed before the tokens run out, too.
 */
import type { AnswerShape, AnswerTask, CallTask, MessageSyntax, ThoughtTask } from './answer-shape.js';
import { CallGrammar } from './call-grammar.js';
import { FreeText, textOf, tokenOf } from './free-text.js';
import { GrammarBuilder, type Node } from './grammar.js';
import { formatNode, type ResponseFormat } from './response-format.js';
import type { GrammarTable } from '../native.js';

/** Throws INVALID_OPTION and LIMIT_EXCEEDED. */
export function answerTable({ format, shape, ends = [] }: AnswerTask): GrammarTable {
  const builder = new GrammarBuilder();
  if (shape === undefined) return builder.table(formatNode(builder, format!));
  return builder.table(new AnswerGrammar(builder, shape, ends, format).node());
}

class AnswerGrammar {
  readonly #text: FreeText;
  readonly #thought: ThoughtTask | undefined;
  readonly #calls: CallTask | undefined;
  readonly #grammar: CallGrammar | undefined;
  readonly #messages: MessageSyntax | undefined;

  constructor(
    readonly builder: GrammarBuilder,
    { thought, calls, messages }: AnswerShape,
    ends: readonly number[],
    readonly format: ResponseFormat | undefined,
  ) {
    const begins = [...(calls?.syntax.openers ?? []), ...(thought ? [thought.open, thought.close] : [])];
    const around = messages?.before.flatMap(({ begin, end }) => [...begin, ...end]) ?? [];
    const inner = [calls?.syntax.inner, around, messages?.next, messages?.final].flatMap((one) => one ?? []);
    const special = [...begins.flatMap((one) => tokenOf(one) ?? []), ...inner, ...ends];
    this.#text = new FreeText(builder, [...new Set(special.filter((part) => typeof part === 'number'))]);
    this.#thought = messages ? undefined : thought;
    this.#calls = calls;
    this.#grammar = calls && new CallGrammar(this.#text, calls);
    this.#messages = messages;
  }

  node(): Node {
    const { builder } = this;
    const isRequired = this.#calls?.isRequired === true;
    const body = this.format && !isRequired ? formatNode(builder, this.format) : undefined;
    if (this.#messages) return this.#listed(this.#messages, body);
    if (body === undefined && !isRequired) return this.#free();
    const answers = body === undefined ? [] : [body];
    if (this.#grammar) answers.push(this.#callsAlone(this.#grammar));
    return builder.sequence([this.#thoughtFirst(), builder.choice(answers)]);
  }

  /** Thoughts, where there may be some, and space behind them. */
  #thoughtFirst(): Node {
    const { builder } = this;
    const thought = this.#thought;
    if (thought === undefined || thought.state === 'over') return builder.sequence([]);
    const rest = builder.sequence([this.#text.upTo(thought.close, []), this.#text.space()]);
    if (thought.state === 'begun') return rest;
    return builder.optional(builder.sequence([this.#text.marker(thought.open), rest]));
  }

  /** Calls and nothing else. */
  #callsAlone(grammar: CallGrammar): Node {
    const { builder } = this;
    const { openers, isBare } = this.#calls!.syntax;
    const section = builder.sequence([
      builder.choice(openers.map((opener) => this.#text.marker(opener))),
      grammar.section(),
    ]);
    const more = builder.repeat(builder.sequence([this.#text.space(), section]), 0);
    const sections = builder.sequence([this.#text.space(), section, more]);
    return isBare ? builder.choice([grammar.bare(), sections]) : sections;
  }

  /** Text, with thoughts and calls in it. */
  #free(): Node {
    const { builder } = this;
    const text = this.#text;
    const thought = this.#thought;
    const whole = this.#calls?.syntax.isBare ? this.#bareOr(this.#calls) : this.#mixed();
    if (thought?.state !== 'begun') return whole;
    const over = builder.sequence([text.upTo(thought.close, []), text.space(), whole]);
    return builder.choice([this.#unclosed(thought), over]);
  }

  /** A thought behind which nothing comes. */
  #unclosed({ close }: ThoughtTask): Node {
    const closes = textOf(close);
    return this.#text.without(closes === undefined ? [] : [closes]);
  }

  /** @param never what the text does not begin with. */
  #mixed(never?: Node): Node {
    const { builder } = this;
    const { parts, ends } = this.#pieces();
    const rest = builder.sequence([builder.repeat(builder.choice(parts), 0), builder.choice(ends)]);
    if (never === undefined) return rest;
    const first = this.#pieces((text) => builder.subtract(text, never));
    return builder.choice([...first.ends, builder.sequence([builder.choice(first.parts), rest])]);
  }

  /** Texts up to a call or behind a thought, with these; and those at the end. */
  #pieces(begun: (text: Node) => Node = (text) => text): { parts: Node[]; ends: Node[] } {
    const { builder } = this;
    const text = this.#text;
    const thought = this.#thought;
    const openers = this.#calls?.syntax.openers ?? [];
    const begins = thought ? [...openers, thought.open] : openers;
    const texts = begins.flatMap((one) => textOf(one) ?? []);
    const section = this.#grammar?.section();
    const parts = openers.map((opener) => builder.sequence([begun(text.upTo(opener, texts)), section!]));
    const ends = [begun(text.without(texts))];
    if (thought) {
      const opened = begun(text.upTo(thought.open, texts));
      parts.push(builder.sequence([opened, text.upTo(thought.close, [])]));
      ends.push(builder.sequence([opened, this.#unclosed(thought)]));
    }
    return { parts, ends };
  }

  /** What begins as a call does is one, where an answer begins and behind thoughts. */
  #bareOr({ tools }: CallTask): Node {
    const { builder } = this;
    const text = this.#text;
    const thought = this.#thought;
    const beginning = this.#grammar!.bareBeginning(tools.map(({ name }) => name));
    const special = [beginning, ...(thought ? [text.marker(thought.open)] : [])];
    const never = builder.sequence([text.space(), builder.choice(special), text.any()]);
    const calls = builder.sequence([text.space(), this.#grammar!.bare(), text.space()]);
    const answer = builder.choice([calls, this.#mixed(never)]);
    if (!thought) return answer;
    const opened = builder.sequence([text.space(), text.marker(thought.open)]);
    const over = builder.sequence([text.upTo(thought.close, []), text.space()]);
    const thoughts = builder.repeat(builder.sequence([opened, over]), 0);
    return builder.sequence([
      thoughts,
      builder.choice([answer, builder.sequence([opened, this.#unclosed(thought)])]),
    ]);
  }

  /** An answer that is a list of messages. */
  #listed({ before, next, final, never }: MessageSyntax, body: Node | undefined): Node {
    const { builder } = this;
    const text = this.#text;
    const marks = never === undefined ? [] : [never];
    const first = before.map(({ begin, end }) =>
      builder.sequence([text.marker(begin), text.upTo(end, marks), text.marker(next)]),
    );
    const isFree = body === undefined && this.#calls?.isRequired !== true;
    const last = this.#grammar ? [this.#grammar.section()] : [];
    if (body !== undefined) last.push(builder.sequence([text.marker(final), body]));
    if (isFree) {
      // The tokens may run out anywhere but in a call.
      last.push(builder.sequence([text.marker(final), text.without(marks)]), builder.sequence([]));
      for (const { begin } of before) last.push(builder.sequence([text.marker(begin), text.without(marks)]));
    }
    return builder.sequence([builder.repeat(builder.choice(first), 0), builder.choice(last)]);
  }
}
