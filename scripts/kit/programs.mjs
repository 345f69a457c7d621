// Programs that a part runs beside itself: the machine's own, found on PATH, and those of the kit. Their process group is
// the part's, so that they end with it.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const places = ['/usr/local/cuda/bin', '/usr/local/bin', '/usr/bin', '/opt/conda/bin'];

/** The full path of a program on PATH or where CUDA and Python usually are, or undefined. */
export function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...places];
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Runs a program; `onLine` gets each line of its output at once. Never rejects. */
export function runProgram(command, args, { onLine = () => {}, env = process.env, limitMs = 60_000 } = {}) {
  const child = spawn(command, args, { env });
  // An empty input: there may be no /dev/null.
  child.stdin.on('error', () => {}).end();
  let output = '';
  let rest = '';
  const timer = setTimeout(() => child.kill('SIGKILL'), Math.max(1, limitMs));
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) onLine(line);
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  return new Promise((resolve) => {
    const end = (status) => {
      clearTimeout(timer);
      resolve({ status, output });
    };
    child.on('error', (error) => end(error.message));
    child.on('close', (code, signal) => end(code ?? signal));
  });
}

/** The environment without what the kit set for its own Node. */
export function outerEnvironment() {
  const { LD_LIBRARY_PATH: _own, ...env } = process.env;
  return env;
}

/** A Python whose PyTorch has a GPU, or why there is none. `device`: 'cpu' asks for PyTorch alone. */
export async function findTorch(device = 'cuda') {
  const python = findProgram('python3') ?? findProgram('python');
  if (!python) return { reason: 'there is no Python' };
  const code =
    device === 'cuda'
      ? 'import torch; assert torch.cuda.is_available(); print(torch.__version__)'
      : 'import torch; print(torch.__version__)';
  const { status, output } = await runProgram(python, ['-c', code], {
    env: outerEnvironment(),
    limitMs: 40_000,
  });
  return status === 0
    ? { python, version: output.trim().split('\n').at(-1) }
    : { reason: `Python has no PyTorch with a GPU (${output.trim().split('\n').at(-1)})` };
}
