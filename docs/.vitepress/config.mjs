// The site of docs/, built without network: `npm run docs` writes the reference (typedoc) and then build/site.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitepress';

const docs = join(import.meta.dirname, '..');
const titleOf = (page) => /^# (.*)$/m.exec(readFileSync(join(docs, `${page}.md`), 'utf8'))[1];
const item = (page) => ({ text: titleOf(page), link: `/${page}` });
const pagesOf = (folder) =>
  readdirSync(join(docs, folder))
    .filter((name) => name.endsWith('.md') && name !== 'README.md')
    .map((name) => item(`${folder}/${name.slice(0, -3)}`));

const using = [
  'install',
  'models',
  'files',
  'generation',
  'structured-output',
  'tools',
  'embeddings',
  'vectors',
  'classification',
  'adapters',
  'compare',
  'tracing',
  'server',
  'frameworks',
  'gpu',
  'errors',
  'environment',
].filter((page) => existsSync(join(docs, `${page}.md`)));
const inside = ['architecture', 'extending', 'int8-format', 'contract', 'cuda', 'process', 'benchmarks'];

export default defineConfig({
  title: 'Kvasir',
  description: 'Language models inside a Node process, in INT8, on the CPU or an NVIDIA GPU',
  outDir: '../build/site',
  cacheDir: '../build/vitepress',
  cleanUrls: true,
  rewrites: { 'kernels/README.md': 'kernels/index.md', 'decisions/README.md': 'decisions/index.md' },
  themeConfig: {
    search: { provider: 'local' },
    nav: [
      { text: 'Guide', link: '/generation' },
      { text: 'API', link: '/reference/' },
      { text: 'Inside', link: '/architecture' },
    ],
    sidebar: [
      { text: 'Using Kvasir', items: using.map(item) },
      { text: 'API reference', link: '/reference/' },
      { text: 'Inside', collapsed: true, items: inside.map(item) },
      { text: 'Kernels', collapsed: true, link: '/kernels/', items: pagesOf('kernels') },
      { text: 'Decisions', collapsed: true, link: '/decisions/', items: pagesOf('decisions') },
    ],
  },
});
