/**
 * Harmony, the format of gpt-oss: an answer is a list of messages, each with a channel and perhaps a recipient. `analysis`
 * is thoughts, a recipient makes it a call, all else is text.
 */
import type { CallFormat, FormatMaker, Source } from '../format.js';
import type { Reading } from '../reader.js';
import { spelledText } from '../special-text.js';

/** Channel, recipient and kind of content. */
const longestHeader = 300;

export const harmony: FormatMaker = ({ coded, marker, tellsReasoning }): CallFormat => {
  const message = [coded('<|message|>')];
  const ends = ['<|end|>', '<|call|>', '<|return|>', '<|start|>'].map(coded);
  const isLast = (end: string | undefined): boolean => end === ends[1] || end === ends[2];

  function* whole(source: Source): Reading<void> {
    const { reader, answer } = source;
    for (;;) {
      reader.record(true);
      const header = yield* reader.shortText(message, longestHeader);
      const taken = reader.record(false);
      if (header === undefined) answer.addText(taken);
      const { isThought, tool } = readHeader(spelledText(header ?? ''));
      const end = yield* content(source, tellsReasoning && isThought, tool);
      answer.ended = isLast(end);
      if (end === undefined || answer.ended) return;
    }
  }

  function* content(
    { reader, answer }: Source,
    isThought: boolean,
    tool: string | undefined,
  ): Reading<string | undefined> {
    if (tool !== undefined) {
      answer.beginCall(tool);
      const end = yield* reader.upTo(ends, (text) => answer.addArguments(text));
      answer.endCall(end === undefined ? 'The call was cut off.' : undefined);
      return end;
    }
    if (!isThought) {
      answer.beginParagraph();
      return yield* reader.upTo(ends, (text) => answer.addText(text));
    }
    answer.beginReasoning();
    const end = yield* reader.upTo(ends, (text) => answer.addReasoning(text));
    if (end !== undefined) answer.endReasoning();
    return end;
  }

  return {
    openers: [],
    *calls() {},
    whole,
    syntax: {
      openers: [],
      inner: marker('<|call|>'),
      lead: [marker('<|channel|>commentary to=functions.')],
      call: ['name', marker(' <|constrain|>json<|message|>'), 'arguments', marker('<|call|>')],
      end: [],
      arguments: 'json',
    },
    messages: {
      before: ['analysis', 'commentary'].map((channel) => ({
        begin: marker(`<|channel|>${channel}<|message|>`),
        end: marker('<|end|>'),
      })),
      next: marker('<|start|>assistant'),
      final: marker('<|channel|>final<|message|>'),
    },
    goesOnAfter: ['<|end|>', '<|call|>'],
  };
};

function readHeader(header: string): { isThought: boolean; tool?: string } {
  const tool = /\bto=(?:functions\.)?([\w.:-]+)/.exec(header)?.[1];
  return { isThought: /<\|channel\|>\s*analysis\b/.test(header), tool };
}
