/**
 * The package inside what people build and test servers with, as their own documentation has it: each project is installed
 * from the npm registry, builds a small server and gets the tokens that Node gets from the same code.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answersOf } from './framework-server.js';
import { Project } from './installed.js';
import { type Packed, root, servePacked } from './packed.js';

const versions = {
  webpack: '5',
  'webpack-cli': '7',
  vite: '8',
  next: '16',
  react: '19',
  'react-dom': '19',
  jest: '30',
  vitest: '4',
};

/** Streams an answer, one chunk for each text that comes. */
const answer = `
import { Model } from 'kvasir';

let loading;
export async function answer(write) {
  loading ??= Model.load('stories-260k', { threads: 1 });
  const model = await loading;
  for await (const { text } of model.generate('Once upon a time', { maxTokens: 12, temperature: 0 })) write(text);
}`;

const server = `
import { createServer } from 'node:http';
import { answer } from './answer.js';

createServer(async (request, response) => {
  try {
    await answer((text) => response.write(text));
  } catch (error) {
    response.statusCode = 500;
    response.write(String(error.stack));
  }
  response.end();
}).listen(Number(process.env.PORT), '127.0.0.1');`;

let packed: Packed;
let project: Project;
let wanted = '';

/** Of the packages that are installed in the project. */
let installed: string | undefined;

/** A project of modules with kvasir and other packages; with the same ones as the last it is the last, with more files. */
async function create(packages: readonly (keyof typeof versions)[], files: Record<string, string>) {
  if (installed !== packages.join()) {
    project?.remove();
    project = new Project(packed.registry.url);
    // One for all projects, and for the next night.
    project.env.npm_config_cache = npmConfig('cache');
    project.write('package.json', JSON.stringify({ name: 'app', private: true, type: 'module' }));
    await must('npm', ['install', 'kvasir', ...packages.map((name) => `${name}@${versions[name]}`)]);
    installed = packages.join();
  }
  for (const [name, text] of Object.entries({ 'answer.js': answer, 'server.js': server, ...files })) {
    project.write(name, text);
  }
}

async function must(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { status, stdout, stderr } = await project.run(program, args, { env });
  expect(status, stdout + stderr).toBe(0);
  return stdout + stderr;
}

const npmConfig = (name: string) => execFileSync('npm', ['config', 'get', name], { encoding: 'utf8' }).trim();

beforeAll(async () => {
  packed = await servePacked({ upstream: npmConfig('registry') });
  await create([], {});
  [wanted = ''] = await answersOf(project, ['node', 'server.js'], ['/']);
  expect(wanted).toMatch(/\w+ \w+ \w+/);
}, 300_000);
afterAll(() => {
  project?.remove();
  packed?.remove();
});

describe('Node itself', { timeout: 300_000 }, () => {
  it('serves from workers of a cluster that share a port', async () => {
    await create([], {
      'cluster.js': `
        import cluster from 'node:cluster';
        if (cluster.isPrimary) {
          cluster.fork();
          cluster.fork();
        } else {
          await import('./server.js');
        }`,
    });
    const paths = Array.from({ length: 6 }, () => '/');
    expect(await answersOf(project, ['node', 'cluster.js'], paths)).toEqual(paths.map(() => wanted));
  });

  it('serves from worker threads, each with a model of its own', async () => {
    await create([], {
      'threads.js': `
        import { createServer } from 'node:http';
        import { Worker } from 'node:worker_threads';
        const ask = () => new Promise((resolve, reject) => {
          const worker = new Worker(new URL('./thread.js', import.meta.url));
          worker.on('message', resolve).on('error', reject);
        });
        createServer(async (request, response) => {
          const texts = await Promise.all([ask(), ask(), ask()]);
          response.end(texts.join('|'));
        }).listen(Number(process.env.PORT), '127.0.0.1');`,
      'thread.js': `
        import { parentPort } from 'node:worker_threads';
        import { answer } from './answer.js';
        let all = '';
        await answer((text) => { all += text; });
        parentPort.postMessage(all);`,
    });
    const said = [wanted, wanted, wanted].join('|');
    expect(await answersOf(project, ['node', 'threads.js'], ['/', '/'])).toEqual([said, said]);
  });
});

describe('a bundle', { timeout: 600_000 }, () => {
  it.each([
    ['as a module', `externals: { kvasir: 'module kvasir' }`, true],
    ['as CommonJS', `externals: { kvasir: 'commonjs kvasir' }`, false],
    ['with kvasir inside, as a module', '', true],
    ['with kvasir inside, as CommonJS', '', false],
  ] as const)('of webpack 5 serves %s', async (_, externals, isModule) => {
    const output = isModule
      ? `experiments: { outputModule: true }, output: { module: true, filename: 'server.mjs' }`
      : `output: { filename: 'server.cjs' }`;
    await create(['webpack', 'webpack-cli'], {
      'webpack.config.js': `export default {
        mode: 'production', target: 'node20', entry: './server.js',
        externalsPresets: { node: true }, ${[externals, output].filter((text) => text !== '').join(', ')},
      };`,
    });
    await must('webpack', ['--stats', 'errors-only']);
    const file = `dist/server.${isModule ? 'mjs' : 'cjs'}`;
    expect(await answersOf(project, ['node', file], ['/'])).toEqual([wanted]);
  });

  it.each([
    ['left alone', '{}'],
    ['told to bundle all else', `{ ssr: { noExternal: true, external: ['kvasir'] } }`],
  ])('of Vite for SSR serves, %s', async (_, config) => {
    await create(['vite'], { 'vite.config.js': `export default ${config};` });
    await must('vite', ['build', '--ssr', 'server.js', '--logLevel', 'warn']);
    expect(await answersOf(project, ['node', 'dist/server.js'], ['/'])).toEqual([wanted]);
  });
});

describe('a development server', { timeout: 600_000 }, () => {
  it('of Vite loads it for SSR', async () => {
    await create(['vite'], {
      'dev.js': `
        import { createServer } from 'node:http';
        import { createServer as createVite } from 'vite';
        const vite = await createVite({ server: { middlewareMode: true }, appType: 'custom', logLevel: 'error' });
        createServer(async (request, response) => {
          const { answer } = await vite.ssrLoadModule('/answer.js');
          await answer((text) => response.write(text));
          response.end();
        }).listen(Number(process.env.PORT), '127.0.0.1');`,
    });
    expect(await answersOf(project, ['node', 'dev.js'], ['/'])).toEqual([wanted]);
  });
});

describe('Next.js', { timeout: 900_000 }, () => {
  const files = (output: string) => ({
    'next.config.mjs': `export default { serverExternalPackages: ['kvasir']${output} };`,
    'app/layout.js':
      'export default function Layout({ children }) { return <html lang="en"><body>{children}</body></html>; }',
    'app/page.js': `
      import { answer } from '../answer.js';
      export const dynamic = 'force-dynamic';
      export default async function Page() {
        const texts = [];
        await answer((text) => texts.push(text));
        return <p>{texts.join('')}</p>;
      }`,
    'app/story/route.js': `
      import { answer } from '../../answer.js';
      export const dynamic = 'force-dynamic';
      export function GET() {
        const encoder = new TextEncoder();
        return new Response(new ReadableStream({
          async start(controller) {
            await answer((text) => controller.enqueue(encoder.encode(text)));
            controller.close();
          },
        }));
      }`,
  });
  const quiet = { NEXT_TELEMETRY_DISABLED: '1' };

  it('serves a page and a route', async () => {
    await create(['next', 'react', 'react-dom'], files(''));
    await must('next', ['build'], quiet);
    const [story, page] = await answersOf(project, ['next', 'start', '-H', '127.0.0.1'], ['/story', '/']);
    expect(story).toBe(wanted);
    expect(page).toContain(`<p>${wanted}</p>`);
  });
});

describe('a test runner', { timeout: 600_000 }, () => {
  const gguf = join(root, 'test/fixtures/tiny-llama-blocks/q4_k.gguf');

  /** Two files: what the addon keeps of a first environment must not hinder a second one in the same process. */
  const tests = (imports: string) => {
    const text = `${imports}
      import { createServer } from 'node:http';
      import { KvasirError, Model } from 'kvasir';
      import { answer } from './answer.js';
      test('a server answers', async () => {
        const server = createServer(async (request, response) => {
          await answer((text) => response.write(text));
          response.end();
        });
        await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
        const reply = await fetch('http://127.0.0.1:' + server.address().port);
        expect(await reply.text()).toBe(${JSON.stringify(wanted)});
        await new Promise((resolve) => server.close(resolve));
      });
      test('what is wrong is refused by its code, of a call and of a file', async () => {
        await expect(Model.load('stories-260k', { threads: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
        const error = await Model.load('./broken.gguf').catch((thrown) => thrown);
        expect([error.code, error instanceof KvasirError]).toEqual(['MODEL_FORMAT', true]);
      });
      test('results are of this environment', async () => {
        const model = await Model.load('stories-260k');
        const schema = { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'] };
        const responseFormat = { type: 'json', schema };
        const { object } = await model.generate('Is it so?', { maxTokens: 24, responseFormat });
        expect(typeof object.a).toBe('boolean');
        const trace = await model.trace('Once upon a time', { lens: 2, tensors: ['ffn_residual'] });
        const tensor = trace.get('layers.0.ffn_residual');
        expect(Number.isFinite(tensor.at(0)[0]) && Number.isFinite(tensor.statistics.mean)).toBe(true);
        expect(trace.lens.length).toBeGreaterThan(0);
        await model.dispose();
        const other = await Model.load(process.env.GGUF);
        expect((await other.generate('a', { maxTokens: 2 })).usage.promptTokens).toBeGreaterThan(0);
        await other.dispose();
      });`;
    return { 'first.test.js': text, 'second.test.js': text, 'broken.gguf': 'GGUF and nothing else' };
  };

  it('as Jest runs it', async () => {
    await create(['jest'], { ...tests(''), 'jest.config.js': 'export default { transform: {} };' });
    const env = { NODE_OPTIONS: '--experimental-vm-modules', GGUF: gguf };
    const said = await must('jest', ['--runInBand'], env);
    expect(said).toMatch(/Tests: +6 passed, 6 total/);
  });

  it.each(['forks', 'threads', 'vmThreads'])('as Vitest runs it, in its pool %s', async (pool) => {
    await create(['vitest'], tests(`import { expect, test } from 'vitest';`));
    const said = await must('vitest', ['run', '--pool', pool, '--maxWorkers', '1'], {
      NO_COLOR: '1',
      GGUF: gguf,
    });
    expect(said).toMatch(/Tests +6 passed \(6\)/);
  });
});
