// A chat over HTTP that streams: POST a question, read the answer while it is made. Who leaves ends its own run.
//   node examples/chat-server/server.mjs [model] [port], then: curl -N -d 'Tell me a story.' http://127.0.0.1:8080
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Model } from 'kvasir';

const [reference = 'smollm2-135m', port = '8080'] = process.argv.slice(2);
const model = await Model.load(reference);
const server = createServer(async (request, response) => {
  const left = new AbortController();
  response.on('close', () => left.abort());
  try {
    const messages = [{ role: 'user', content: await text(request) }];
    const run = model.generate(messages, { maxTokens: 2000, signal: left.signal });
    for await (const { text } of run) {
      if (!response.write(text)) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
    }
    console.log((await run).finishReason);
  } catch (error) {
    if (!response.headersSent) response.statusCode = 400;
    response.write(String(error.message));
  }
  response.end();
});
server.listen(Number(port), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
