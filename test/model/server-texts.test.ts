/** /tokenize, /detokenize and /apply-template, under the names of llama.cpp and of vLLM. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Served } from './served.js';

let served: Served;
beforeAll(async () => {
  served = await Served.start();
});
afterAll(() => served.stop());

const text = 'What is the capital of France?';
const messages = [
  { role: 'system', content: 'You are a test.' },
  { role: 'user', content: 'Hi' },
];

describe('/tokenize and /detokenize', () => {
  it('go there and back', async () => {
    const there = await served.post('/tokenize', { content: text });
    expect(there.status).toBe(200);
    expect(there.body.tokens).toEqual([...served.model.tokenizer.encode(text, { addSpecialTokens: false })]);
    expect(there.body).toMatchObject({ count: there.body.tokens.length, max_model_len: 4096 });
    const back = await served.post('/detokenize', { tokens: there.body.tokens });
    expect(back.body).toEqual({ content: text, prompt: text });
  });

  it('begin as the tokenizer does where that is asked for: by default under the name of vLLM', async () => {
    const { bosTokenId } = served.model.tokenizer;
    const first = async (body: object) => (await served.post('/tokenize', body)).body.tokens[0];
    expect(await first({ content: text, add_special: true })).toBe(bosTokenId);
    expect(await first({ prompt: text })).toBe(bosTokenId);
    expect(await first({ prompt: text, add_special_tokens: false })).not.toBe(bosTokenId);
  });

  it('give the pieces', async () => {
    const { body } = await served.post('/tokenize', { content: text, with_pieces: true });
    for (const { id, piece } of body.tokens) expect(piece).toBe(served.model.tokenizer.tokenText(id));
    expect(
      body.tokens
        .map(({ piece }: { piece: string }) => piece)
        .join('')
        .trim(),
    ).toBe(text);
  });

  it('count a conversation as generate does', async () => {
    const { body } = await served.post('/tokenize', { messages });
    const { usage } = await served.model.generate(messages, { maxTokens: 1 });
    expect(body.count).toBe(usage.promptTokens);
  });

  it.each([
    ['/tokenize', {}, 'content'],
    ['/tokenize', { content: 'a', prompt: 'b' }, 'content'],
    ['/tokenize', { content: 1 }, 'content'],
    ['/detokenize', { tokens: [1, 1_000_000] }, 'tokens[1]'],
    ['/detokenize', { tokens: ['a'] }, 'tokens[0]'],
    ['/apply-template', { messages: [] }, 'messages'],
  ])('%s refuses %j', async (path, body, param) => {
    expect(await served.post(path, body)).toMatchObject({
      status: 400,
      body: { error: { type: 'invalid_request_error', param } },
    });
  });
});

describe('/apply-template', () => {
  it('writes the conversation as the tokenizer does', async () => {
    const { body } = await served.post('/apply-template', { messages });
    expect(body.prompt).toBe(served.model.tokenizer.applyChatTemplate(messages));
    expect(body.prompt).toContain('system: You are a test.\nuser: Hi\n');
  });
});
