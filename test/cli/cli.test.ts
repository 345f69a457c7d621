import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { kvasir } from './cli-command.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function errorOf(stdout: string): { code: string; message: string } {
  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(1);
  const object = JSON.parse(lines[0]!) as { error: { code: string; message: string } };
  expect(Object.keys(object)).toEqual(['error']);
  expect(Object.keys(object.error)).toEqual(['code', 'message']);
  return object.error;
}

describe('the command line', () => {
  it('helps on stdout, with the exit statuses and the environment', async () => {
    const main = await kvasir(['--help']);
    expect(main).toMatchObject({ status: 0, stderr: '' });
    for (const name of [
      'run',
      'chat',
      'embed',
      'search',
      'rerank',
      'classify',
      'compare',
      'bench',
      'pull',
      'info',
      'doctor',
    ]) {
      expect(main.stdout).toMatch(new RegExp(`^ +${name} `, 'm'));
    }
    expect(main.stdout).toMatch(/Exit status: 0 .* 1 .* 2 .* 130/);
    const run = await kvasir(['run', '--help']);
    expect(run).toMatchObject({ status: 0, stderr: '' });
    expect(run.stdout).toContain('KVASIR_THREADS');
  });

  it('prints the version of the package', async () => {
    expect(await kvasir(['--version'])).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('shows the help on stderr when no command is given', async () => {
    const { status, stdout, stderr } = await kvasir([]);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('Usage: kvasir');
    expect(stderr).not.toMatch(/^error/m);
  });

  it.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['run'], "missing required argument 'model'"],
    [['run', 'stories-260k', 'a', 'b'], 'too many arguments'],
    [['run', 'stories-260k', 'a', '--color', 'red'], "unknown option '--color'"],
    [['run', 'stories-260k', 'a', '--dtype', 'int4'], 'Allowed choices are auto, int8, fp32'],
    [['run', 'stories-260k', 'a', '-n', '1.5'], 'It must be an integer'],
    [['run', 'stories-260k', 'a', '--temperature', 'hot'], 'It must be a number'],
    [['run', 'stories-260k', 'a', '--temperature', ''], 'It must be a number'],
    [['run', 'stories-260k', 'a', '--temperature', '-1'], 'Option --temperature is -1; it must be'],
    [['run', 'stories-260k', 'a', '--top-p', '0'], 'Option --top-p is 0; it must be'],
    [['run', 'stories-260k', 'a', '--max-tokens', '0'], 'Option --max-tokens is 0; it must be'],
    [['run', 'stories-260k', 'a', '--threads', '0'], 'Option --threads is 0; it must be'],
    [['run', 'stories-260k', 'a', '--device', 'tpu'], "Option --device is 'tpu'; it must be"],
    [['run', 'stories-260k', 'a', '--logprobs', '2'], 'add --json'],
    [['run', 'stories-260k', ''], 'The prompt is empty'],
    [['bench', 'stories-260k', '-p', '0'], 'It must be an integer from 1 on'],
    [['bench', 'stories-260k', '--batch', '65'], '--batch may be at most 64'],
  ])('%j is wrong usage: one line, status 2', async (args, message) => {
    const { status, stdout, stderr } = await kvasir(args);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: .* \[INVALID_OPTION\]\n$/);
    expect(stderr).toContain(message);
  });

  it('tells of wrong usage in JSON when --json is given, but not when it is the prompt', async () => {
    const given = await kvasir(['run', 'stories-260k', '--nonsense', '--json']);
    expect(given.status).toBe(2);
    expect(errorOf(given.stdout)).toMatchObject({ code: 'INVALID_OPTION' });
    const prompt = await kvasir(['run', '--nonsense', '--', 'stories-260k', '--json']);
    expect(prompt).toMatchObject({ status: 2, stdout: '' });
  });

  it.each([
    [['run', 'no-such-model', 'a'], {}, 'MODEL_NOT_FOUND'],
    [['info', 'no-such-model'], {}, 'MODEL_NOT_FOUND'],
    [['bench', 'no-such-model'], {}, 'MODEL_NOT_FOUND'],
    [['pull', 'no-such-model'], {}, 'MODEL_NOT_FOUND'],
    [['run', 'stories-260k', 'a', '--device', 'cuda'], {}, 'DEVICE_UNAVAILABLE'],
    [['run', 'stories-260k', 'a', '--context-length', '9999'], {}, 'INVALID_OPTION'],
    [['info', 'stories-260k', '--context-length', '9999'], {}, 'INVALID_OPTION'],
    [['run', 'stories-260k', 'a', '--system', 'Be kind.'], {}, 'INVALID_OPTION'],
    [['models', 'remove', 'hf:no/such'], {}, 'MODEL_NOT_FOUND'],
    [['models', 'remove', 'stories-260k'], {}, 'INVALID_OPTION'],
    [['chat', 'stories-260k'], {}, 'INVALID_OPTION'],
    [['run', 'stories-260k', 'one two three four', '--context-length', '2'], {}, 'CONTEXT_OVERFLOW'],
    [['bench', 'stories-260k', '-p', '513'], {}, 'CONTEXT_OVERFLOW'],
    [['run', 'stories-260k', 'a'], { KVASIR_CPU_ISA: 'sse9' }, 'INVALID_OPTION'],
    [['info', 'stories-260k'], { KVASIR_CPU_ISA: 'sse9' }, 'INVALID_OPTION'],
  ])('%j with %j fails: one line without a stack, status 1', async (args, env, code) => {
    const { status, stdout, stderr } = await kvasir([...args, '--json'], { env });
    expect(status).toBe(1);
    const error = errorOf(stdout);
    expect(error.code).toBe(code);
    expect(stderr).toBe(`error: ${error.message} [${code}]\n`);
  });

  it('names the flag, not the option of the library, in what the model itself refuses', async () => {
    const { stderr } = await kvasir(['run', 'stories-260k', 'a', '--context-length', '9999']);
    expect(stderr).toContain('Option --context-length is 9999; it must be an integer from 1 to 512');
  });

  it('names the variable whose value is wrong', async () => {
    const { status, stderr } = await kvasir(['run', 'stories-260k', 'a'], {
      env: { KVASIR_THREADS: 'many' },
    });
    expect(status).toBe(2);
    expect(stderr).toContain("from env 'KVASIR_THREADS' is invalid");
    const isa = await kvasir(['run', 'stories-260k', 'a'], { env: { KVASIR_CPU_ISA: 'sse9' } });
    expect(isa.stderr).toContain("KVASIR_CPU_ISA is 'sse9', which this build has no kernels for");
  });
});
