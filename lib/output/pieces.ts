/** What an answer consists of: text, reasoning, and calls of tools. */

/** A call that a model made. */
export interface ToolCall {
  /** Nine letters and digits, or what the model itself wrote where its format has ids. Of one answer no two are the same. */
  id: string;
  name: string;
  /** Parsed; {} where `error` says that they are damaged. */
  arguments: Record<string, unknown>;
  /** The arguments as JSON: what the chunks brought, joined. Where they are damaged, as the model wrote them. */
  argumentsText: string;
  /** Why this call must not be made: its arguments are no JSON object or were cut off, or there is no such tool. */
  error?: string;
}

/** A part of a call: the first one of a call has its id and name, and no arguments. */
export interface ToolCallPiece {
  type: 'tool-call';
  /** Of the call in the answer, from 0. */
  index: number;
  id?: string;
  name?: string;
  /** More of the arguments' JSON. */
  arguments: string;
}

export type OutputPiece = { type: 'text' | 'reasoning'; text: string } | ToolCallPiece;

/** Adds a piece to a list, joined to the last one where both are of one kind. */
export function addPiece(pieces: OutputPiece[], piece: OutputPiece): void {
  const last = pieces.at(-1);
  if (piece.type === 'tool-call') {
    const joins = last?.type === 'tool-call' && last.index === piece.index && piece.id === undefined;
    if (joins) pieces[pieces.length - 1] = { ...last, arguments: last.arguments + piece.arguments };
    else pieces.push(piece);
  } else if (last?.type === piece.type) {
    pieces[pieces.length - 1] = { ...last, text: last.text + piece.text };
  } else {
    pieces.push(piece);
  }
}
