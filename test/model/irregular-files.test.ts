/** A file of a model folder that is no regular file is refused at once: nothing waits for a pipe, and no device is read. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Model } from '../../lib/model.js';
import { packageRoot } from '../../lib/native.js';
import { quantizeModel } from '../../lib/quantize.js';
import { readRegularFile, readRegularFileSync } from '../../lib/regular-file.js';

let scratch = '';
const servers: Server[] = [];
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'kvasir-irregular-'));
});
afterAll(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  rmSync(scratch, { recursive: true });
});

/** What may stand where a file should. */
const irregular: Record<string, (path: string) => Promise<void> | void> = {
  'a pipe': (path) => {
    execFileSync('mkfifo', [path]);
  },
  'a device': (path) => symlinkSync('/dev/zero', path),
  'a folder': (path) => {
    mkdirSync(path);
  },
  'a socket': async (path) => {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
  },
};

let folders = 0;
/** A copy of the embedded model, in which one file is another thing. */
async function folderWith(name: string, kind: string): Promise<string> {
  const folder = join(scratch, String(folders++));
  cpSync(join(packageRoot, 'models', 'stories-260k'), folder, { recursive: true });
  const path = join(folder, name);
  rmSync(path, { force: true });
  mkdirSync(dirname(path), { recursive: true });
  await irregular[kind]!(path);
  return folder;
}

const names = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'additional_chat_templates/tool_use.jinja',
  'model.safetensors',
];

describe.skipIf(process.platform === 'win32')('a load', () => {
  it.each(names)('refuses each as %s', async (name) => {
    for (const kind of Object.keys(irregular)) {
      const folder = await folderWith(name, kind);
      const begin = performance.now();
      const error = await Model.load(folder).then(
        () => expect.fail(`${kind} was loaded`),
        (failure) => failure,
      );
      expect(error.code, `${kind}: ${error.message}`).toMatch(/^MODEL_(FORMAT|NOT_FOUND)$/);
      expect(error.message).toContain(name.split('/').at(-1));
      expect(performance.now() - begin).toBeLessThan(5000);
    }
  });

  it('goes on without tables that are none', async () => {
    const form = join(scratch, 'form');
    await quantizeModel('stories-260k', form);
    const tables = join(form, 'tokenizer.tables');
    const before = readRegularFileSync(tables, 2 ** 20);
    for (const kind of ['a pipe', 'a device', 'a folder']) {
      rmSync(tables, { recursive: true });
      await irregular[kind]!(tables);
      const model = await Model.load(form);
      await model.dispose();
    }
    rmSync(tables, { recursive: true });
    expect(before.length).toBeGreaterThan(1000);
  });

  it('lets the process end', async () => {
    const folder = await folderWith('tokenizer.json', 'a pipe');
    const program = `
      import { Model } from ${JSON.stringify(join(packageRoot, 'dist', 'index.js'))};
      const loading = Model.load(${JSON.stringify(folder)}).catch((error) => console.log(error.code));
      if (process.argv[1] === 'exit') setImmediate(() => process.exit(3));
      await loading;`;
    const run = (...more: string[]) =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, ...more], {
        timeout: 30_000,
      });
    expect((await run()).stdout).toBe('MODEL_FORMAT\n');
    await expect(run('exit')).rejects.toMatchObject({ code: 3 });
  });
});

describe.skipIf(process.platform === 'win32')('a regular file', () => {
  it('has at most so many bytes', async () => {
    const path = join(scratch, 'ten');
    writeFileSync(path, '0123456789');
    expect((await readRegularFile(path, 10)).toString()).toBe('0123456789');
    expect(readRegularFileSync(path, 10).toString()).toBe('0123456789');
    for (const read of [
      readRegularFile,
      async (...given: [string, number]) => readRegularFileSync(...given),
    ]) {
      await expect(read(path, 9)).rejects.toMatchObject({
        code: 'MODEL_FORMAT',
        message: expect.stringContaining('has 10 bytes; a file of its kind has at most 9'),
      });
      await expect(read(join(scratch, 'none'), 9)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    }
  });
});
