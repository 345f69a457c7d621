import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasTerminal, kvasir, makeChatModel, start, startAtTerminal } from './cli-command.js';

let model: ReturnType<typeof makeChatModel>;
beforeAll(() => {
  model = makeChatModel();
});
afterAll(() => model.remove());

interface ChatJson {
  turns: {
    user: string;
    text: string;
    usage: { promptTokens: number; completionTokens: number; cachedTokens: number; droppedTokens?: number };
  }[];
}

async function chatJson(input: string, ...flags: string[]): Promise<ChatJson> {
  const { status, stdout } = await kvasir(['chat', model.folder, '-n', '6', '--json', ...flags], { input });
  expect(status).toBe(0);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(stdout) as ChatJson;
}

describe('chat with a pipe', () => {
  it('answers every line on stdout, and only that', async () => {
    const { turns } = await chatJson('One day\n\n  Tom ran  \n');
    expect(turns.map(({ user }) => user)).toEqual(['One day', 'Tom ran']);
    const input = 'One day\n\n  Tom ran  \n';
    const { status, stdout, stderr } = await kvasir(['chat', model.folder, '-n', '6'], { input });
    expect(status).toBe(0);
    expect(stdout).toBe(turns.map(({ text }) => `${text}\n`).join(''));
    expect(stderr.match(/\(6 tokens, .* tokens\/s/g)).toHaveLength(2);
  });

  it('remembers the conversation, from the cache, until /reset', async () => {
    const { turns } = await chatJson('One day\nOne day\n/reset\nOne day\n');
    const [first, second, third] = turns.map(({ usage }) => usage);
    expect(second!.promptTokens).toBeGreaterThan(2 * first!.promptTokens);
    expect(second!.cachedTokens).toBeGreaterThanOrEqual(first!.promptTokens);
    expect(third!.promptTokens).toBe(first!.promptTokens);
    expect(turns[2]!.text).toBe(turns[0]!.text);
  });

  it('keeps the system message after /reset', async () => {
    const { turns } = await chatJson('One day\n/reset\nOne day\n', '--system', 'Be kind.');
    const plain = await chatJson('One day\n');
    expect(turns[0]!.usage.promptTokens).toBeGreaterThan(plain.turns[0]!.usage.promptTokens);
    expect(turns[1]!.usage.promptTokens).toBe(turns[0]!.usage.promptTokens);
  });

  it('obeys /exit and /help, and sends no other command to the model', async () => {
    const { turns } = await chatJson('/help\n/nonsense\nOne day\n/exit\nTom ran\n');
    expect(turns.map(({ user }) => user)).toEqual(['One day']);
    const { stderr } = await kvasir(['chat', model.folder], { input: '/help\n/nonsense\n' });
    expect(stderr).toMatch(/^\/reset +forget [\s\S]*\nThere is no \/nonsense\.\n\/reset/);
  });

  it('takes two slashes for a message that begins with one', async () => {
    const { turns } = await chatJson('//help me\n');
    expect(turns.map(({ user }) => user)).toEqual(['/help me']);
  });

  it('takes lines that end with a backslash, and those between three quotes, for one message', async () => {
    const { turns } = await chatJson('One \\\nday\n"""\nTom\n\n  ran\n"""\n"""all on one"""\n');
    expect(turns.map(({ user }) => user)).toEqual(['One \nday', 'Tom\n\n  ran', 'all on one']);
  });

  it('answers again with /retry, as it did with the same options', async () => {
    const { turns } = await chatJson('/retry\nOne day\nTom ran\n/retry\n/set temperature 1\n/retry\n');
    expect(turns.map(({ user }) => user)).toEqual(['One day', 'Tom ran', 'Tom ran', 'Tom ran']);
    expect(turns[2]).toMatchObject({
      text: turns[1]!.text,
      usage: { promptTokens: turns[1]!.usage.promptTokens },
    });
    expect(turns[3]!.text).not.toBe(turns[1]!.text);
    expect(turns[3]!.usage.promptTokens).toBe(turns[1]!.usage.promptTokens);
  });

  it('changes options with /set, and refuses wrong ones', async () => {
    const { turns } = await chatJson(
      '/set max-tokens 2\nOne day\n/set topP 7\n/set nonsense 1\n/set max-tokens x\nOne day\n',
    );
    expect(turns.map(({ usage }) => usage.completionTokens)).toEqual([2, 2]);
    const input = '/set\n/set topP 7\n/set seed 3\n/set\n/set nonsense 1\n';
    const { stderr, status } = await kvasir(['chat', model.folder], { input });
    expect(status).toBe(0);
    expect(stderr.split('\n')).toEqual([
      "All options are the model's own.",
      expect.stringContaining('--top-p is 7'),
      'seed 3',
      'seed 3',
      'There is no option "nonsense". See "kvasir chat --help".',
      '',
    ]);
  });

  it('sets another system message, with the conversation as it was', async () => {
    const { turns } = await chatJson('One day\n/system Be very kind.\n/retry\n/system\n/retry\n');
    const [plain, kind, again] = turns.map(({ usage }) => usage.promptTokens);
    expect(kind).toBeGreaterThan(plain!);
    expect(again).toBe(plain);
  });

  it('saves a conversation, and goes on with it elsewhere', async () => {
    const file = `${model.folder}/saved.json`;
    const whole = await chatJson('One day\nTom ran\n', '--system', 'Be kind.');
    await chatJson(`One day\n/save ${file}\n`, '--system', 'Be kind.');
    const { turns } = await chatJson(`Lily\n/load ${file}\nTom ran\n`);
    expect(turns[1]).toMatchObject({ user: 'Tom ran', text: whole.turns[1]!.text });
    const { stderr } = await kvasir(['chat', model.folder], {
      input: `/load ${model.folder}/none.json\n/load ${model.folder}/config.json\n/load\n/save /no/such/folder\n`,
    });
    expect(stderr).toMatch(
      /Cannot read .*none\.json[\s\S]*messages[\s\S]*needs the name[\s\S]*cannot be written/,
    );
  });

  it('answers a question again that a saved conversation ends with', async () => {
    const file = `${model.folder}/question.json`;
    writeFileSync(file, JSON.stringify({ messages: [{ role: 'user', content: 'One day' }] }));
    const { turns } = await chatJson(`/load ${file}\n/retry\n/reset\nOne day\nTom ran\n/retry\n`);
    expect(turns.map(({ user }) => user)).toEqual(['One day', 'One day', 'Tom ran', 'Tom ran']);
    expect(turns[1]).toMatchObject({ text: turns[0]!.text });
    expect(turns[3]).toMatchObject({ text: turns[2]!.text });
  });

  it('goes back to where /fork was, as often as it was', async () => {
    const forked = 'One day\n/fork\nTom ran\n/fork\nLily\n/back\n/back\nLily\n/back\n';
    const { turns } = await chatJson(forked, '--system', 'Be kind.');
    const straight = await chatJson('One day\nLily\n', '--system', 'Be kind.');
    expect(turns[3]).toMatchObject({ user: 'Lily', text: straight.turns[1]!.text });
    expect(turns[3]!.usage.promptTokens).toBe(straight.turns[1]!.usage.promptTokens);
    expect(turns[2]!.usage.promptTokens).toBeGreaterThan(turns[3]!.usage.promptTokens);
    const { stderr } = await kvasir(['chat', model.folder, '-n', '6'], { input: '/back\n/fork\n/back\n' });
    expect(stderr).toMatch(/no point to go back to[\s\S]*0 messages again/);
  });

  it('drops the oldest turns when the context is full, and says how many tokens', async () => {
    const input = 'One day there was a girl.\n'.repeat(12);
    const { status, stderr } = await kvasir(['chat', model.folder, '-n', '6', '-c', '128'], { input });
    expect(status).toBe(0);
    expect(stderr.match(/\(6 tokens, /g)).toHaveLength(12);
    const told = [...stderr.matchAll(/; (\d+) tokens of old turns left the context\)/g)].map(([, n]) =>
      Number(n),
    );
    const { turns } = await chatJson(input, '-c', '128');
    expect(turns.map(({ usage }) => usage.droppedTokens).filter(Boolean)).toEqual(told);
    expect(told.length).toBeGreaterThan(0);
    for (const { usage } of turns)
      expect(usage.promptTokens + usage.completionTokens).toBeLessThanOrEqual(128);
    // What left does not come back, and the last turns are there.
    expect(turns.at(-1)!.usage.promptTokens).toBeGreaterThan(turns[0]!.usage.promptTokens);
  });

  it('stops an answer at Ctrl-C and stays; a second one at the prompt leaves with 130', async () => {
    const running = start(['chat', model.folder, '-c', '32000', '-n', '30000', '--ignore-eos']);
    running.child.stdin.write('One day\n');
    await running.until(({ stdout }) => stdout.length > 20);
    running.child.kill('SIGINT');
    await running.until(({ stderr }) => stderr.includes(', stopped)'));
    const stopped = running.stdout.length;
    running.child.stdin.write('Tom ran\n');
    await running.until(({ stdout }) => stdout.length > stopped + 20);
    running.child.kill('SIGINT');
    await running.until(({ stderr }) => stderr.split(', stopped)').length === 3);
    running.child.kill('SIGINT');
    await once(running.child, 'exit');
    expect(await running.end()).toMatchObject({ status: 130 });
    expect(running.stderr).not.toContain('error');
  });

  it('prints the turns so far with --json when Ctrl-C ends it at the prompt', async () => {
    const running = start(['chat', model.folder, '-n', '6', '--json']);
    running.child.stdin.write('One day\n');
    await running.until(({ stderr }) => stderr.includes('(6 tokens,'));
    running.child.kill('SIGINT');
    const [status] = await once(running.child, 'exit');
    expect(status).toBe(130);
    const { stdout } = await running.end();
    expect((JSON.parse(stdout) as ChatJson).turns).toHaveLength(1);
  });
});

describe.skipIf(!hasTerminal)('chat at a terminal', () => {
  it('prompts, answers, drops a half-typed line at Ctrl-C, and leaves at the next one', async () => {
    const running = startAtTerminal(['chat', model.folder, '-n', '6']);
    const prompts = (count: number) => running.until(({ stdout }) => stdout.split('> ').length > count);
    await prompts(1);
    running.child.stdin.write('One day\r');
    await prompts(2);
    expect(running.stdout).toContain('(6 tokens,');
    running.child.stdin.write('half');
    await running.until(({ stdout }) => stdout.endsWith('half'));
    running.child.stdin.write('\u0003');
    await prompts(3);
    running.child.stdin.write('\u0003');
    const { status, stdout } = await running.end();
    expect(status).toBe(130);
    expect(stdout.match(/\(6 tokens,/g)).toHaveLength(1);
  });

  it('stops an answer at Ctrl-C, goes on, and ends at the end of the input', async () => {
    const running = startAtTerminal(['chat', model.folder, '-c', '32000', '-n', '30000', '--ignore-eos']);
    await running.until(({ stdout }) => stdout.includes('> '));
    running.child.stdin.write('One day\r');
    await running.until(({ stdout }) => /One day[\s\S]{200}/.test(stdout));
    running.child.stdin.write('\u0003');
    await running.until(({ stdout }) => /, stopped\)[\s\S]*> /.test(stdout));
    running.child.stdin.write('\u0004');
    expect((await running.end()).status).toBe(0);
  });

  it('takes what is pasted for one message, and keeps it for the arrow keys of the next chat', async () => {
    const history = { KVASIR_CHAT_HISTORY: `${model.folder}/state/history` };
    const running = startAtTerminal(['chat', model.folder, '-n', '6'], history);
    await running.until(({ stdout }) => stdout.includes('> '));
    expect(running.stdout).toContain('\u001b[?2004h');
    // Cut in the middle of the sequences, as a slow line would.
    running.child.stdin.write('\u001b[20');
    running.child.stdin.write('0~One day\nTom\tran\nand\nfour\nfive\u001b[201');
    running.child.stdin.write('~\r');
    await running.until(({ stdout }) => stdout.includes('(6 tokens,'));
    running.child.stdin.write(`/save ${model.folder}/pasted.json\r`);
    await running.until(({ stdout }) => stdout.includes('2 messages are in'));
    running.child.stdin.write('\u0004');
    expect((await running.end()).status).toBe(0);
    const { messages } = JSON.parse(readFileSync(`${model.folder}/pasted.json`, 'utf8'));
    expect(messages[0]).toEqual({ role: 'user', content: 'One day\nTom  ran\nand\nfour\nfive' });

    const next = startAtTerminal(['chat', model.folder, '-n', '6', '--json'], history);
    await next.until(({ stdout }) => stdout.includes('> '));
    next.child.stdin.write('\u001b[A\u001b[A\r');
    await next.until(({ stdout }) => stdout.includes('(6 tokens,'));
    next.child.stdin.write('\u0004');
    expect((await next.end()).stdout).toContain('"user":"One day\\nTom  ran\\nand\\nfour\\nfive"');
  });
});
