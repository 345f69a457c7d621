/** What a whole answer may be made of, as plain data: thoughts, calls of tools, free text, or what `responseFormat` asks for. */
import type { ResponseFormat } from './response-format.js';

/** Text and ids of special tokens, in order. */
export type Marker = readonly (string | number)[];

/** `space`: up to a dozen spaces and line ends. `number`: digits. `arguments`: what the tool's schema says. */
export type CallPart = Marker | 'space' | 'name' | 'number' | 'arguments';

/** Arguments one by one, each between tags. */
export interface TagSyntax {
  /** Before an argument's name. */
  open: Marker;
  /** Between name and value: of one that is text as it is, of one that is JSON. */
  beforeText: Marker;
  beforeJson: Marker;
  /** Behind a value. */
  close: Marker;
}

/** How a format writes calls. */
export interface CallSyntax {
  /** Each begins calls, wherever it stands. */
  openers: readonly Marker[];
  /** Special tokens that stand in calls alone. */
  inner?: Marker;
  /** Behind the opener. */
  lead: readonly CallPart[];
  call: readonly CallPart[];
  /** Between two calls behind one opener. Absent: there is one. */
  between?: readonly CallPart[];
  end: readonly CallPart[];
  /** What an answer may begin with in place of all that: a call as it is. Its first parts up to the name say that it is one. */
  isBare?: boolean;
  /** `unknown`: a notation whose values no grammar is known for. */
  arguments: 'json' | 'unknown' | TagSyntax;
}

/** Answers that are lists of messages. A call is one too, the last one or with `between` before the next. */
export interface MessageSyntax {
  /** Messages that others follow: thoughts, and text before calls. */
  before: readonly { begin: Marker; end: Marker }[];
  /** Between two messages. */
  next: Marker;
  /** Before the text of the answer. */
  final: Marker;
  /** No text of a message holds it. Absent: special tokens end messages. */
  never?: string;
}

export interface ToolTask {
  name: string;
  /** JSON Schema. */
  parameters: unknown;
  /** true: its schema is enforced, or refused. false: the model is free. Absent: enforced as far as it can be. */
  strict?: boolean;
}

export interface CallTask {
  syntax: CallSyntax;
  tools: readonly ToolTask[];
  /** The answer is one or several calls. */
  isRequired: boolean;
}

export interface ThoughtTask {
  open: Marker;
  close: Marker;
  /** `begun`: the prompt has opened them. `over`: it has closed them. */
  state: 'begun' | 'possible' | 'over';
}

export interface AnswerShape {
  thought?: ThoughtTask;
  calls?: CallTask;
  messages?: MessageSyntax;
}

/** What a grammar is made of. */
export interface AnswerTask {
  format?: ResponseFormat;
  /** Absent: the answer is what `format` says, and nothing else. */
  shape?: AnswerShape;
  /** Ids of tokens that end an answer. */
  ends?: readonly number[];
}

/** The model is not free. */
export function isConstrained({ format, shape }: AnswerTask): boolean {
  if (format) return true;
  const { calls } = shape ?? {};
  return calls !== undefined && (calls.isRequired || calls.tools.some(({ strict }) => strict !== false));
}

/** Somebody asked for it: where it cannot be enforced, that is an error. */
export function isPromised({ format, shape }: AnswerTask): boolean {
  const { calls } = shape ?? {};
  return (
    format !== undefined || calls?.isRequired === true || calls?.tools.some(({ strict }) => strict) === true
  );
}
