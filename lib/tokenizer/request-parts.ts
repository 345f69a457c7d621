/** Cuts what a thread is sent into pieces: a message is copied while the event loop waits, one millisecond at most each. */
import { type ChatMessage, unitsOf } from './chat-messages.js';

/** UTF-16 units of a piece. */
const units = 2 ** 20;
/** Messages of a piece. */
const messagesTogether = 128;

/** At least one piece. No character is cut in two. */
export function partsOfText(text: string): string[] {
  if (text.length <= units) return [text];
  const parts: string[] = [];
  for (let from = 0; from < text.length; ) {
    let to = Math.min(from + units, text.length);
    if (to < text.length && text.charCodeAt(to) >> 10 === 0x37) --to;
    parts.push(text.slice(from, to));
    from = to;
  }
  return parts;
}

/** At least one list. */
export function partsOfMessages(messages: readonly ChatMessage[]): (readonly ChatMessage[])[] {
  const parts: ChatMessage[][] = [];
  let last: ChatMessage[] = [];
  let size = 0;
  for (const message of messages) {
    const more = unitsOf([message]);
    if (last.length === messagesTogether || (last.length > 0 && size + more > units)) {
      parts.push(last);
      last = [];
      size = 0;
    }
    last.push(message);
    size += more;
  }
  parts.push(last);
  return parts;
}
