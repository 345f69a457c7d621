import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasTerminal, kvasir, makeChatModel, start, startAtTerminal } from './cli-command.js';

let model: ReturnType<typeof makeChatModel>;
beforeAll(() => {
  model = makeChatModel();
});
afterAll(() => model.remove());

interface ChatJson {
  turns: { user: string; text: string; usage: { promptTokens: number; cachedTokens: number } }[];
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
    expect(stderr).toMatch(/^\/reset forgets .*\nThere is no \/nonsense: /);
  });

  it('ends with the error of a turn, for nobody is there to go on', async () => {
    const input = `${'word '.repeat(200)}\nOne day\n`;
    const { status, stdout, stderr } = await kvasir(['chat', model.folder, '-c', '32'], { input });
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: .* \[CONTEXT_OVERFLOW\]\n$/);
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
});
