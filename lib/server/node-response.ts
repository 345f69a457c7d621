/**
 * A streamed answer, written to Node's response itself: its events go out as the strings that they are, without a web stream
 * and its promises between. What streams nothing is for the server to write as it writes any response.
 */
import type { ServerResponse } from 'node:http';
import { streamOf } from './event-stream.js';

/** False: the response streams no events, and nothing was written. */
export function writeEvents(response: Response, outgoing: ServerResponse): boolean {
  const stream = streamOf(response);
  if (stream === undefined) return false;
  // What is written after the client has left fails; that it has left is told by 'close'.
  outgoing.on('error', () => {});
  outgoing.on('close', () => stream.leave());
  outgoing.on('drain', () => stream.want());
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  let hasWritten = false;
  stream.pipe({
    write: (text) => {
      hasWritten = true;
      return outgoing.write(text);
    },
    end: () => outgoing.end(),
  });
  // The first event takes its time: that there is an answer is told already.
  if (!hasWritten) outgoing.flushHeaders();
  return true;
}
