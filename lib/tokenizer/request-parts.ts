/**
 * Cuts what a thread is sent into pieces: a message is copied while the event loop waits, a millisecond at most each. They are
 * cut when they are asked for, so that cutting takes no longer either.
 */
import { type ChatMessage, unitsOf } from './chat-messages.js';

/** UTF-16 units of a piece. */
const units = 2 ** 20;
/** Messages of a piece. */
const messagesTogether = 128;

/** At least one piece. No character is cut in two. */
export function* partsOfText(text: string): Generator<string, void, void> {
  let from = 0;
  while (text.length - from > units) {
    const half = text.charCodeAt(from + units) >> 10 === 0x37 ? 1 : 0;
    const to = from + units - half;
    yield text.slice(from, to);
    from = to;
  }
  yield text.slice(from);
}

/** At least one list. */
export function* partsOfMessages(messages: readonly ChatMessage[]): Generator<ChatMessage[], void, void> {
  let part: ChatMessage[] = [];
  let size = 0;
  for (const message of messages) {
    const more = unitsOf(message);
    if (part.length === messagesTogether || (part.length > 0 && size + more > units)) {
      yield part;
      part = [];
      size = 0;
    }
    part.push(message);
    size += more;
  }
  yield part;
}
