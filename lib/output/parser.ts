/** Reads what a model writes, token by token, into an answer: text, reasoning and calls. */
import type { Answer } from './answer.js';
import type { CallFormat, Source } from './format.js';
import type { OutputPiece } from './pieces.js';
import { Reader, type Reading } from './reader.js';
import type { ReasoningMarkers } from './reasoning.js';
import { codedToken } from './special-text.js';

/** What a parser looks for. Markers are coded (special-text.ts). */
export interface ParserTask {
  format?: CallFormat;
  reasoning?: Pick<ReasoningMarkers, 'open' | 'close' | 'ignored'>;
  /** The prompt has opened the thoughts already. */
  startsReasoning?: boolean;
  /** Behind thoughts the answer is calls, or text in which nothing is looked for. */
  isStructured?: boolean;
  answer: Answer;
}

export class OutputParser {
  readonly answer: Answer;
  readonly #reader = new Reader();
  readonly #parsing: Reading<void>;
  #isOver = false;

  constructor(task: ParserTask) {
    this.answer = task.answer;
    const source: Source = {
      reader: this.#reader,
      answer: task.answer,
      isStructured: task.isStructured === true,
    };
    if (task.startsReasoning && !task.format?.whole) task.answer.beginReasoning();
    if (task.format?.whole) this.#parsing = task.format.whole(source);
    else this.#parsing = task.isStructured ? readStructured(source, task) : read(source, task);
  }

  /** Text that has become whole, and what a special token behind it spells. */
  push(text: string, special: string): OutputPiece[] {
    if (this.answer.stopped || this.#isOver) return [];
    this.#reader.feed(text + codedToken(special));
    this.#run();
    return this.answer.drain();
  }

  /** No token follows. */
  flush(text: string): OutputPiece[] {
    this.#reader.feed(text);
    this.#reader.end();
    this.#run();
    this.answer.finish();
    return this.answer.drain();
  }

  #run(): void {
    if (this.#isOver) return;
    this.#isOver = this.#parsing.next().done === true;
  }
}

function* read(source: Source, { format, reasoning, startsReasoning }: ParserTask): Reading<void> {
  const { reader, answer } = source;
  if (startsReasoning && reasoning !== undefined) yield* thoughts(source, reasoning.close);
  const around = reasoning ? [reasoning.close, ...(reasoning.ignored ?? [])] : [];
  const ignored = [...(format?.ignored ?? []), ...around];
  const openers = format?.openers ?? [];
  const markers = [...openers, ...ignored, ...(reasoning ? [reasoning.open] : [])];
  let mayStart = format?.start !== undefined;
  for (;;) {
    if (mayStart) {
      yield* reader.skipSpace();
      if (reasoning === undefined || (yield* reader.take([reasoning.open])) === undefined) {
        yield* format!.start!(source);
        mayStart = false;
      } else {
        answer.beginReasoning();
        yield* thoughts(source, reasoning.close);
        continue;
      }
    }
    const marker = yield* reader.upTo(markers, (text) => answer.addText(text));
    if (marker === undefined) return;
    if (marker === reasoning?.open) {
      answer.beginReasoning();
      yield* thoughts(source, reasoning.close);
    } else if (openers.includes(marker)) {
      yield* format!.calls(source, marker);
    }
  }
}

/** As the grammar of a structured answer has it. */
function* readStructured(source: Source, { format, reasoning, startsReasoning }: ParserTask): Reading<void> {
  const { reader, answer } = source;
  let thinks = startsReasoning === true;
  if (!thinks && reasoning && (yield* reader.take([reasoning.open])) !== undefined) {
    answer.beginReasoning();
    thinks = true;
  }
  if (thinks) yield* thoughts(source, reasoning!.close);
  for (let calls = 0; format !== undefined; calls++) {
    reader.record(true);
    yield* reader.skipSpace();
    const opener = yield* reader.take(format.openers);
    const taken = reader.record(false);
    if (opener !== undefined) {
      yield* format.calls(source, opener);
      continue;
    }
    answer.addText(taken);
    if (calls === 0 && format.start) yield* format.start(source);
    break;
  }
  yield* reader.upTo([], (text) => answer.addText(text));
}

function* thoughts({ reader, answer }: Source, close: string): Reading<void> {
  const closed = yield* reader.upTo([close], (text) => answer.addReasoning(text));
  if (closed !== undefined) answer.endReasoning();
}
