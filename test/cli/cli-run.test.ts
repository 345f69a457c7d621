import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasTerminal, kvasir, makeChatModel, start, startAtTerminal } from './cli-command.js';
import { readGolden } from '../model/golden.js';

const golden = readGolden<{ prompt: string; ids: number[] }>('stories-260k.json');
const story = ['run', 'stories-260k', golden.prompt];

interface RunJson {
  text: string;
  tokens: number[];
  finishReason: string;
  usage: { promptTokens: number; completionTokens: number };
  timings: Record<string, number>;
  memory: Record<string, number>;
  dtype: string;
  kvDtype: string;
  threads: number;
  kernels: string;
  contextLength: number;
  logprobs?: { id: number; logprob: number; top: unknown[] }[];
}

async function runJson(args: readonly string[], options: { input?: string; env?: NodeJS.ProcessEnv } = {}) {
  const { status, stdout, stderr } = await kvasir([...args, '--json'], options);
  expect(stderr).not.toContain('error');
  expect(status).toBe(0);
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(stdout) as RunJson;
}

let model: ReturnType<typeof makeChatModel>;
beforeAll(() => {
  model = makeChatModel();
});
afterAll(() => model.remove());

describe('run', () => {
  it('gives the reference text in FP32: as tokens, and as text with a line break', async () => {
    const result = await runJson([...story, '--dtype', 'fp32', '-n', '40']);
    expect(result.tokens).toEqual(golden.ids.slice(0, 40));
    const { stdout } = await kvasir([...story, '--dtype', 'fp32', '-n', '40']);
    expect(stdout).toBe(`${result.text}\n`);
  });

  it('keeps statistics and progress on stderr, without control characters where there is no terminal', async () => {
    const { stdout, stderr } = await kvasir([...story, '-n', '5']);
    for (const part of [
      'time to first token',
      'prefill',
      'decode',
      'tokens/s',
      'resident',
      'kernels',
      'int8',
    ]) {
      expect(stderr).toContain(part);
      expect(stdout).not.toContain(part);
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a progress bar draws with
    expect(stdout + stderr).not.toMatch(/[\r\u001b]/);
  });

  it('prints all of the result as one object with --json', async () => {
    const result = await runJson([...story, '-n', '5', '--logprobs', '3']);
    expect(Object.keys(result).sort()).toEqual(
      [
        ...['contextLength', 'device', 'dtype', 'finishReason', 'kernels', 'kvDtype', 'loadMs', 'logprobs'],
        ...[
          'deviceName',
          'deviceReason',
          'gpuLayers',
          'memory',
          'model',
          'text',
          'threads',
          'timings',
          'tokens',
          'usage',
        ],
      ].sort(),
    );
    expect(result).toMatchObject({ dtype: 'int8', kvDtype: 'int8', finishReason: 'length' });
    expect(result.usage).toMatchObject({ promptTokens: 5, completionTokens: 5 });
    expect(result.timings.ttftMs).toBeGreaterThan(0);
    expect(result.memory.rssBytes).toBeGreaterThan(result.memory.weights!);
    expect(result.logprobs).toHaveLength(5);
    for (const { top } of result.logprobs!) expect(top).toHaveLength(3);
  });

  it('takes the prompt from stdin, also for -, less the line break at its end', async () => {
    const { tokens } = await runJson([...story, '-n', '8']);
    for (const ending of ['', '\n', '\r\n']) {
      const input = `${golden.prompt}${ending}`;
      expect((await runJson(['run', 'stories-260k', '-n', '8'], { input })).tokens).toEqual(tokens);
    }
    const dash = await runJson(['run', 'stories-260k', '-', '-n', '8'], { input: golden.prompt });
    expect(dash.tokens).toEqual(tokens);
  });

  it('refuses an empty stdin and one that is no UTF-8', async () => {
    const empty = await kvasir(['run', 'stories-260k'], { input: '\n' });
    expect(empty).toMatchObject({ status: 2, stdout: '' });
    expect(empty.stderr).toContain('stdin is empty');
    const running = start(['run', 'stories-260k']);
    running.child.stdin.write(Buffer.from([0x61, 0xff, 0x62]));
    const latin = await running.end();
    expect(latin).toMatchObject({ status: 2, stdout: '' });
    expect(latin.stderr).toContain('UTF-8');
  });

  it('hands every sampling flag to the engine', async () => {
    const greedy = (await runJson([...story, '-n', '12'])).tokens;
    const sampled = async (...flags: string[]) =>
      (await runJson([...story, '-n', '12', '--temperature', '5', ...flags])).tokens;
    const first = await sampled('--seed', '3');
    expect(first).not.toEqual(greedy);
    expect(await sampled('--seed', '3')).toEqual(first);
    expect(await sampled('--seed', '4')).not.toEqual(first);
    // At temperature 5 nearly every token is possible; each of these leaves one at a time.
    for (const narrow of [
      ['--top-k', '1'],
      ['--top-p', '0.001'],
      ['--min-p', '1'],
    ]) {
      expect(await sampled('--seed', '3', ...narrow), narrow[0]).toEqual(greedy);
    }
    expect(await sampled('--seed', '3', '--typical-p', '0.05')).not.toEqual(first);
    const long = [...story, '-n', '60'];
    const plain = (await runJson(long)).tokens;
    for (const penalty of [
      ['--repetition-penalty', '10'],
      ['--presence-penalty', '2'],
      ['--frequency-penalty', '2'],
    ]) {
      expect((await runJson([...long, ...penalty])).tokens, penalty[0]).not.toEqual(plain);
    }
  });

  it('stops at each --stop, and at the end of the text unless told to go on', async () => {
    const full = await runJson([...story, '-n', '20']);
    for (const stops of [
      ['zebra', 'girl'],
      ['girl', 'zebra'],
    ]) {
      const stopped = await runJson([...story, '-n', '20', ...stops.flatMap((stop) => ['--stop', stop])]);
      expect(stopped.finishReason).toBe('stop');
      expect(stopped.text).toBe(full.text.slice(0, full.text.indexOf('girl')));
    }
    const to = [
      'run',
      'stories-260k',
      'The end',
      '-n',
      '300',
      '--seed',
      '2',
      '--temperature',
      '1',
      '--dtype',
      'fp32',
    ];
    expect(await runJson(to)).toMatchObject({ finishReason: 'stop' });
    expect(await runJson([...to, '--ignore-eos'])).toMatchObject({ finishReason: 'length' });
  });

  it('answers where there is a chat template, and continues the text with --raw', async () => {
    const run = ['run', model.folder, 'Lily', '-n', '4'];
    const answered = (await runJson(run)).usage.promptTokens;
    expect((await runJson([...run, '--raw'])).usage.promptTokens).toBeLessThan(answered);
    expect((await runJson([...run, '--system', 'Be kind.'])).usage.promptTokens).toBeGreaterThan(answered);
    const both = await kvasir([...run, '--system', 'Be kind.', '--raw']);
    expect(both).toMatchObject({ status: 2, stderr: expect.stringContaining('--raw') });
  });

  it('says with --quiet nothing but errors', async () => {
    const run = ['run', 'stories-260k', 'Lily', '-n', '4'];
    const plain = await kvasir(run);
    expect(plain.stderr).toContain('time to first token');
    expect(await kvasir([...run, '--quiet'])).toEqual({ ...plain, stderr: '' });
    const wrong = await kvasir(['run', 'no-such-model', 'a', '-q']);
    expect(wrong.stderr).toMatch(/^error: .* \[MODEL_NOT_FOUND\]\n$/);
  });

  it('lets a flag beat its variable, and the variable beat the default', async () => {
    const env = {
      KVASIR_THREADS: '1',
      KVASIR_DTYPE: 'fp32',
      KVASIR_KV_DTYPE: 'int8',
      KVASIR_CONTEXT_LENGTH: '64',
    };
    const one = ['run', 'stories-260k', 'a', '-n', '1'];
    expect(await runJson(one, { env })).toMatchObject({
      threads: 1,
      dtype: 'fp32',
      kvDtype: 'int8',
      contextLength: 64,
    });
    const flags = ['--threads', '2', '--dtype', 'int8', '--kv-dtype', 'fp32', '--context-length', '32'];
    expect(await runJson([...one, ...flags], { env })).toMatchObject({
      threads: 2,
      dtype: 'int8',
      kvDtype: 'fp32',
      contextLength: 32,
    });
    expect(await runJson(one, { env: { KVASIR_THREADS: '', KVASIR_DTYPE: '' } })).toMatchObject({
      dtype: 'int8',
      contextLength: 512,
    });
  });

  it('runs on the kernels that KVASIR_CPU_ISA names', async () => {
    const env = { KVASIR_CPU_ISA: 'scalar' };
    expect(await runJson([...story, '-n', '2'], { env })).toMatchObject({ kernels: 'scalar' });
  });
});

describe('run, interrupted', () => {
  const endless = () => ['run', model.folder, 'Once', '--ignore-eos', '-n', '30000', '-c', '32000'];

  it('stops generating at Ctrl-C, with what there is and status 130', async () => {
    const running = start(endless());
    await running.until(({ stdout }) => stdout.length > 20);
    running.child.kill('SIGINT');
    const { status, stdout, stderr } = await running.end();
    expect(status).toBe(130);
    expect(stdout.endsWith('\n')).toBe(true);
    expect(stderr).toContain('finish: abort');
    expect(stderr).not.toContain('error');
  });

  it('stops at SIGTERM with status 143', async () => {
    const running = start(endless());
    await running.until(({ stdout }) => stdout.length > 20);
    running.child.kill('SIGTERM');
    const { status, stderr } = await running.end();
    expect(status).toBe(143);
    expect(stderr).toContain('finish: abort');
  });

  it('stops waiting for stdin at Ctrl-C', async () => {
    const running = start(['run', 'stories-260k']);
    // More than a pipe holds: when it is gone, the command is reading.
    await new Promise((resolve) => running.child.stdin.write('word '.repeat(100_000), resolve));
    running.child.kill('SIGINT');
    await new Promise((resolve) => running.child.on('exit', resolve));
    expect(await running.end()).toMatchObject({ status: 130, stdout: '', stderr: '' });
  });

  it('ends quietly and soon when nobody reads stdout any more', async () => {
    const running = start(endless());
    await running.until(({ stdout }) => stdout.length > 20);
    const started = performance.now();
    running.child.stdout.destroy();
    const { status, stderr } = await running.end();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    // All 30,000 tokens would take much longer.
    expect(performance.now() - started).toBeLessThan(3000);
  });

  it.skipIf(!hasTerminal)('draws a progress bar on a terminal and leaves it as it was', async () => {
    const running = startAtTerminal(endless());
    await running.until(({ stdout }) => /loading .*\[=*/.test(stdout) && stdout.length > 400);
    running.child.stdin.write('\u0003');
    const { status, stdout } = await running.end();
    expect(status).toBe(130);
    // Line wrap off under the bar, on again after it.
    expect(stdout.lastIndexOf('\u001b[?7h')).toBeGreaterThan(stdout.lastIndexOf('\u001b[?7l'));
  });

  it.skipIf(!hasTerminal)('prints the unfinished result with --json', async () => {
    const running = startAtTerminal([...endless(), '--json']);
    // The bar of the load is gone.
    await running.until(({ stdout }) => stdout.includes('\u001b[?7h'));
    running.child.stdin.write('\u0003');
    const { status, stdout } = await running.end();
    expect(status).toBe(130);
    const line = stdout.split('\n').find((one) => one.includes('{"'))!;
    expect(JSON.parse(line.slice(line.indexOf('{"')))).toMatchObject({ finishReason: 'abort' });
  });
});
