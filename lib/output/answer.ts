/**
 * An answer as it grows: what a format's parser finds goes in, pieces for the caller come out. Stop strings end the text
 * and are looked for in it alone, not in reasoning or calls. White space around calls and reasoning is no part of the text.
 */
import { StopMatcher } from '../generation/stop.js';
import type { OutputPiece, ToolCall } from './pieces.js';
import { addPiece } from './pieces.js';
import { piecesOf, plainText, spelledText } from './special-text.js';

/** An id that every format takes: Mistral's templates want exactly nine letters and digits. */
export function newCallId(): string {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(bytes, (byte) => letters[byte % letters.length]).join('');
}

/** What stands around text or reasoning: white space at its ends waits until something follows. */
class Trimmed {
  #atStart: boolean;
  #waiting = '';

  constructor(atStart: boolean) {
    this.#atStart = atStart;
  }

  push(text: string): string {
    const all = this.#waiting + text;
    const begun = this.#atStart ? all.trimStart() : all;
    const end = begun.trimEnd().length;
    if (end > 0) this.#atStart = false;
    this.#waiting = this.#atStart ? '' : begun.slice(end);
    return begun.slice(0, end);
  }

  /** What waited, as part of the text. */
  release(): string {
    const rest = this.#waiting;
    this.#waiting = '';
    return rest;
  }

  /** What waited is dropped, and so is white space that follows. */
  cut(): void {
    this.#waiting = '';
    this.#atStart = true;
  }
}

export class Answer {
  /** Whole calls, and the one that is open. */
  readonly calls: ToolCall[] = [];
  text = '';
  reasoning = '';
  /** The model has thought, or begun to. */
  hasReasoning = false;
  /** It thinks now. */
  isReasoning = false;
  /** Nothing may follow: the format says that the answer is over. */
  ended = false;
  /** Stop strings end nothing yet. */
  stopsWait = false;
  readonly #stop: StopMatcher;
  readonly #toolNames: ReadonlySet<string>;
  readonly #newId: () => string;
  readonly #text = new Trimmed(false);
  #thought = new Trimmed(true);
  #pieces: OutputPiece[] = [];
  #isCallOpen = false;
  /** Thoughts in several places are paragraphs of one. */
  #isNewThought = false;

  constructor(stops: readonly string[], toolNames: Iterable<string>, newId = newCallId) {
    this.#stop = new StopMatcher(stops);
    this.#toolNames = new Set(toolNames);
    this.#newId = newId;
  }

  get stopped(): boolean {
    return this.#stop.stopped;
  }

  get isCallOpen(): boolean {
    return this.#isCallOpen;
  }

  isTool(name: string): boolean {
    return this.#toolNames.has(name);
  }

  /** What came since the last time. */
  drain(): OutputPiece[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  /** @param coded with special tokens, which stop strings may spell */
  addText(coded: string): void {
    for (const { text, special } of piecesOf(coded))
      this.#say(this.#text.push(this.#stop.push(text, special, this.stopsWait)));
  }

  /** More text, after what has been said: a line stands between them. */
  beginParagraph(): void {
    if (this.text !== '') this.addText('\n\n');
  }

  beginReasoning(): void {
    this.#leaveText();
    this.hasReasoning = true;
    this.isReasoning = true;
    this.#thought = new Trimmed(true);
  }

  addReasoning(coded: string): void {
    const text = this.#thought.push(plainText(coded));
    if (text === '') return;
    const begins = this.#isNewThought && this.reasoning !== '' ? '\n\n' : '';
    this.#isNewThought = false;
    this.reasoning += begins + text;
    addPiece(this.#pieces, { type: 'reasoning', text: begins + text });
  }

  endReasoning(): void {
    this.isReasoning = false;
    this.#isNewThought = true;
    this.#text.cut();
  }

  /** @param id undefined: a new one */
  beginCall(name: string, id?: string): void {
    if (this.stopped) return;
    this.#leaveText();
    const taken = id === undefined || id === '' || this.calls.some((call) => call.id === id);
    const call: ToolCall = { id: taken ? this.#newId() : id, name, arguments: {}, argumentsText: '' };
    this.calls.push(call);
    this.#isCallOpen = true;
    const index = this.calls.length - 1;
    addPiece(this.#pieces, { type: 'tool-call', index, id: call.id, name, arguments: '' });
  }

  addArguments(coded: string): void {
    const call = this.calls.at(-1);
    if (!this.#isCallOpen || call === undefined || coded === '') return;
    const text = spelledText(coded);
    call.argumentsText += text;
    addPiece(this.#pieces, { type: 'tool-call', index: this.calls.length - 1, arguments: text });
  }

  /** @param error why the call is damaged */
  endCall(error?: string): void {
    const call = this.calls.at(-1);
    if (!this.#isCallOpen || call === undefined) return;
    this.#isCallOpen = false;
    this.#text.cut();
    const fault = error ?? readArguments(call) ?? this.#unknown(call.name);
    if (fault !== undefined) call.error = fault;
  }

  /** No more comes. */
  finish(): void {
    this.endCall('The call was cut off.');
    this.#say(this.#text.push(this.#stop.flush()));
    this.#say(this.#text.release());
  }

  #leaveText(): void {
    this.#say(this.#text.push(this.#stop.flush()));
    this.#text.cut();
  }

  #unknown(name: string): string | undefined {
    return this.isTool(name) ? undefined : `There is no tool '${name.slice(0, 100)}'.`;
  }

  #say(text: string): void {
    if (text === '') return;
    this.text += text;
    addPiece(this.#pieces, { type: 'text', text });
  }
}

/** Fills in the parsed arguments. @returns what is wrong with them */
function readArguments(call: ToolCall): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(call.argumentsText);
  } catch {
    return 'The arguments are no JSON.';
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'The arguments are no JSON object.';
  }
  call.arguments = value as Record<string, unknown>;
  return undefined;
}
